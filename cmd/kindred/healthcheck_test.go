package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kindred/internal/config"
	"kindred/internal/testdb"
)

func TestHealthcheck_AsksTheServerOfThisMachine(t *testing.T) {
	t.Parallel()
	ready, waiting := startServing(t, serveEnvironment(testdb.New(t).URL())), startServing(t, serveEnvironment(testdb.Empty(t).URL()))
	for _, c := range []struct {
		url, flag string
		code      int
		says      string
	}{
		{ready.url, "--live=false", 0, "ready"},
		{waiting.url, "--live=false", exitFailed, "kindred migrate up"},
		{waiting.url, "--live", 0, "ok"},
		{"http://127.0.0.1:1", "--live", exitFailed, "refused"},
		{"http://here", "--live", exitFailed, "LISTEN_ADDR"},
	} {
		address := strings.TrimPrefix(c.url, "http://")
		stdout, stderr, code := run(t, "", []string{"LISTEN_ADDR=" + address}, "healthcheck", c.flag)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("healthcheck %s of %s: exit code %d, want %d and %q: %s%s", c.flag, c.url, code, c.code, c.says, stdout, stderr)
		}
	}
}

// The server's own certificate names another host, which is no matter at an address of its machine.
func TestHealthcheck_OverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"ready"}`) }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1:" + port, ":" + port, "localhost:" + port} {
		if status, err := askHealth(t.Context(), config.Listener{Address: address, CertFile: "cert.pem"}, "/readyz"); err != nil || status != "ready" {
			t.Errorf("%s: %q, %v", address, status, err)
		}
	}
	for address, want := range map[string]bool{"0.0.0.0:1": true, "[::]:1": true, "127.0.0.9:1": true, "[::1]:1": true, "192.0.2.1:1": true, "[2001:db8::1]:1": true, "id.example:1": false} {
		if _, ours := nearest(address); ours != want {
			t.Errorf("%s counts as this machine's: %v", address, ours)
		}
	}
}

func TestHealthcheck_ServerThatSaysNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	if status, err := askHealth(t.Context(), config.Listener{Address: server.Listener.Addr().String()}, "/readyz"); err == nil {
		t.Errorf("it is %q", status)
	}
}
