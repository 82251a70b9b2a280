//go:build balancer

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// balance starts an HAProxy with the configuration that users take, before three addresses.
func balance(t testing.TB, replicas []string) (front *serving) {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Fatal("these tests need haproxy: install it (Debian and Ubuntu: apt-get install haproxy)")
	}
	text, err := os.ReadFile("../../deploy/haproxy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	settings := string(text)
	put := func(old, replacement string) {
		if strings.Count(settings, old) != 1 {
			t.Fatalf("%q stands %d times in haproxy.cfg", old, strings.Count(settings, old))
		}
		settings = strings.Replace(settings, old, replacement, 1)
	}
	put("bind :3000", "bind "+address)
	for i, replica := range replicas {
		put(fmt.Sprintf(" kindred-%d:3000", i+1), " "+replica)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-db", "-f", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	front = &serving{url: "http://" + address, cmd: cmd, logs: newOutput(stdout)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of haproxy:\n%s", front.logs)
		}
	})
	deadline := time.Now().Add(30 * time.Second)
	for {
		a, err := front.do(t.Context(), http.MethodGet, "/readyz", "", "")
		if err == nil && a.status == http.StatusOK {
			return front
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is ready behind haproxy: %d %v", a.status, err)
		}
	}
}

// overheard is a replica that keeps what the balancer sends it, byte for byte, but for the checks.
type overheard struct {
	address string
	mu      sync.Mutex
	text    strings.Builder
}

func overhear(t *testing.T) *overheard {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	o := &overheard{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go o.answer(conn)
		}
	}()
	return o
}

func (o *overheard) answer(conn net.Conn) {
	defer conn.Close()
	var heard bytes.Buffer
	requests := bufio.NewReader(io.TeeReader(conn, &heard))
	for {
		r, err := http.ReadRequest(requests)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		if heard.Len() > 0 && (r == nil || r.URL.Path != "/readyz") {
			o.mu.Lock()
			o.text.Write(heard.Bytes())
			o.mu.Unlock()
		}
		heard.Reset()
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

func (o *overheard) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.text.String()
	o.text.Reset()
	return text
}

func TestBalancer_HAProxySaysWhoAsksAndNobodyElseDoes(t *testing.T) {
	t.Parallel()
	replica := overhear(t)
	front := balance(t, []string{replica.address, replica.address, replica.address})
	front.raw(t, "GET /livez HTTP/1.1\r\nHost: id.example\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\nX-Forwarded-Proto: https\r\n"+
		"Forwarded: for=192.0.2.3;proto=https\r\nConnection: close\r\n\r\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(replica.take())))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "Forwarded": nil} {
		if got := r.Header.Values(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What reaches a replica has one framing, whatever was sent: at most one length or one word about chunks, no
// line that goes on in the next, no bare LF or CR. (NUL passes, and the replica refuses it.)
func TestBalancer_HAProxyForwardsNothingAmbiguous(t *testing.T) {
	t.Parallel()
	replica := overhear(t)
	front := balance(t, []string{replica.address, replica.address, replica.address})
	more := []string{"X-A: a\nContent-Length: 62\r\n", "X-A: a\r\n Content-Length: 62\r\n", "Content-Length:\r\n 0\r\n", "Content-Length: 0\r\nContent-Length: 0\r\n"}
	for _, framing := range framings {
		more = append(more, framing.head)
	}
	forwarded := 0
	for _, head := range more {
		answer := front.raw(t, "POST /token HTTP/1.1\r\nHost: id.example\r\n"+head+"\r\n0\r\n\r\n"+hidden)
		if both := strings.Contains(head, "Length:") && strings.Contains(head, "Encoding:"); both && strings.Count(answer, "HTTP/1.1 200") > 1 {
			t.Errorf("behind %q haproxy read on", head)
		}
		heard := replica.take()
		if heard == "" {
			continue
		}
		forwarded++
		for request := range strings.SplitSeq(heard, "\r\n\r\n") {
			words := regexp.MustCompile(`(?im)^(content-length|transfer-encoding)\s*:`).FindAllString(request, -1)
			doubtful := regexp.MustCompile(`\r[^\n]|[^\r]\n|\n[ \t]`).FindString(request)
			if len(words) > 1 || doubtful != "" {
				t.Errorf("of %q haproxy made %q: %q, %q", head, request, words, doubtful)
			}
		}
	}
	t.Logf("%d of %d were forwarded, each with one framing", forwarded, len(more))
}

// Where no replica is ready the balancer speaks for them, and as they do.
func TestBalancer_HAProxyWithoutReplicasAnswersAsKindred(t *testing.T) {
	t.Parallel()
	s := startServing(t, serveEnvironment(testdb.New(t).URL(), "DRAIN_DELAY=20s", "ALLOW_PLAINTEXT=true"))
	address := strings.TrimPrefix(s.url, "http://")
	front := balance(t, []string{address, address, address})
	s.terminate(t)
	front.awaitStatus(t, "/protected", "", http.StatusServiceUnavailable)
	a := front.get(t, "/protected", "")
	if a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" || a.field(t, "code") != "unavailable" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
}
