package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The session that `kindred dev --tls` prints works as it stands, in a folder with a name that a shell could
// misread, and asks nobody to switch verification off.
func TestDev_TLSSessionAsPrinted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "Ana's $HOME")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, dir, []string{"TLS_CERT_FILE=/nowhere"}, "--tls")
	script := d.script(t)
	shell := exec.CommandContext(t.Context(), "bash", "-e")
	shell.Env = []string{"PATH=" + os.Getenv("PATH")} // no bundle of authorities from outside
	shell.Stdin = strings.NewReader(script)
	text, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the printed session: %v\n%s", err, text)
	}
	for _, want := range []string{"Welcome to protected route!", "two tabs, one session", "invalid_refresh_token"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if regexp.MustCompile(`-k|--insecure|http://`).MatchString(script) {
		t.Errorf("the session is not over verified TLS:\n%s", script)
	}
	d.endBySignal(t, syscall.SIGINT)
}
