package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// startWatched runs `kindred serve` with an OPS_ADDR, and returns that listener's URL too.
func startWatched(t testing.TB, environ []string) (s *serving, ops *serving) {
	t.Helper()
	s = startServing(t, append(environ, "OPS_ADDR=127.0.0.1:0"))
	return s, &serving{url: "http://" + s.logs.await(t, `"msg":"ops listening","address":"([^"]+)"`)}
}

func TestOps_MetricsAndProfilesAreOnTheirOwnListenerOnly(t *testing.T) {
	t.Parallel()
	s, ops := startWatched(t, serveEnvironment(testdb.New(t).URL()))
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/vars"} {
		wantStatus(t, s.get(t, path, ""), http.StatusNotFound)
		if path != "/debug/vars" {
			wantStatus(t, ops.get(t, path, ""), http.StatusOK)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		wantStatus(t, s.get(t, path, ""), http.StatusOK)
		wantStatus(t, ops.get(t, path, ""), http.StatusOK)
	}
	wantStatus(t, ops.get(t, "/protected", ""), http.StatusNotFound)
}

func TestOps_NoneUnlessAskedFor(t *testing.T) {
	t.Parallel()
	s := startServing(t, serveEnvironment(testdb.New(t).URL()))
	wantStatus(t, s.get(t, "/livez", ""), http.StatusOK)
	if strings.Contains(s.logs.String(), "ops listening") {
		t.Error("there is a second listener")
	}
}

func TestOps_StaysThroughTheDrain(t *testing.T) {
	t.Parallel()
	s, ops := startWatched(t, serveEnvironment(testdb.New(t).URL()))
	address := strings.TrimPrefix(s.url, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request whose body is being read when SIGTERM arrives.
	answers := bufio.NewReader(conn)
	fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, error %v", line, err)
	}
	s.terminate(t)
	awaitClosed(t, address)
	wantStatus(t, ops.get(t, "/metrics", ""), http.StatusOK)
	wantStatus(t, ops.get(t, "/livez", ""), http.StatusOK)
	wantStatus(t, ops.get(t, "/readyz", ""), http.StatusServiceUnavailable)
	fmt.Fprint(conn, "{}")
	if rest, err := io.ReadAll(answers); err != nil || !strings.Contains(string(rest), "401 Unauthorized") {
		t.Errorf("%q, error %v", rest, err)
	}
	s.stopped(t)
}

// awaitClosed returns once nobody listens there any more.
func awaitClosed(t testing.TB, address string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("%s is still listened on", address)
		}
	}
}

// serve wants what it was told; dev can do without.
func TestOps_AddressThatIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	opsAddr := "OPS_ADDR=" + taken.Addr().String()
	_, stderr, code := run(t, "", serveEnvironment(testdb.New(t).URL(), opsAddr), "serve")
	if code == 0 || !strings.Contains(stderr, "OPS_ADDR: listen") {
		t.Errorf("exit code %d, error %s", code, stderr)
	}
	d := startDev(t, t.TempDir(), []string{opsAddr})
	wantStatus(t, d.get(t, "/livez", ""), http.StatusOK)
	if !strings.Contains(d.logs.String(), "no metrics and profiles, since OPS_ADDR cannot be listened on") {
		t.Error("dev does not say that it goes without")
	}
	d.endBySignal(t, syscall.SIGINT)
}
