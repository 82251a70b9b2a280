package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// developing is a running `kindred dev`.
type developing struct {
	*serving
	banner *output
	dir    string
}

func startDev(t testing.TB, dir string, environ []string, args ...string) *developing {
	t.Helper()
	cmd := command(t, append([]string{"LISTEN_ADDR=127.0.0.1:0", "HOME=" + dir}, environ...), append([]string{"dev"}, args...)...)
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &developing{&serving{cmd: cmd, logs: newOutput(stderr), done: make(chan error, 1)}, newOutput(stdout), dir}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range d.done { // to its end, seen or not
		}
		// As root, where the PostgreSQL user cannot pass, the cluster lies elsewhere.
		if pointer, err := os.ReadFile(filepath.Join(dir, ".kindred", "cluster")); err == nil {
			if err := os.RemoveAll(strings.TrimSpace(string(pointer))); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("dev said:\n%s%s", d.logs, d.banner)
		}
	})
	go func() {
		defer close(d.done)
		d.done <- cmd.Wait()
	}()
	d.url = "http://127.0.0.1:" + d.banner.await(t, `serving on https?://localhost:(\d+) `)
	return d
}

// script cuts the printed session out of the banner.
func (d *developing) script(t testing.TB) string {
	t.Helper()
	return d.banner.await(t, `(?s)into another terminal:\n\n(.*)\nCtrl-C`)
}

// What a newcomer does first: start it, paste what it prints, end it.
func TestDev_PrintedSessionTellsTheWholeStory(t *testing.T) {
	t.Parallel()
	d := startDev(t, t.TempDir(), nil)
	shell := exec.CommandContext(t.Context(), "bash", "-e")
	shell.Stdin = strings.NewReader(d.script(t))
	text, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the printed session: %v\n%s", err, text)
	}
	got := regexp.MustCompile(`"message":"[^"]*"|"code":"[^"]*"|two tabs, one session|"expiresIn":\d+`).FindAllString(string(text), -1)
	want := []string{
		`"expiresIn":3600`, `"message":"Welcome to protected route!"`, "two tabs, one session",
		`"code":"invalid_refresh_token"`, `"code":"invalid_refresh_token"`, `"code":"invalid_access_token"`,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the printed session shows %q, want %q\n%s", got, want, text)
	}
	if set := d.get(t, "/.well-known/jwks.json", ""); !strings.Contains(set.body, `"alg":"ES256"`) {
		t.Errorf("dev signs with no key that anyone can verify: %s", set.body)
	}
	adminPassword := d.banner.await(t, `admin1 / (\S+) \(role admin\)`)
	wantStatus(t, d.mustPost(t, "/login", `{"username":"admin1","password":"`+adminPassword+`"}`), http.StatusOK)
	d.endBySignal(t, syscall.SIGINT)
}

func TestDev_KeepsItsDataUntilFresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startDev(t, dir, nil)
	token := first.login(t, "user1").field(t, "refreshToken")
	// Only dev's own users are an exception to the policy, and it says so.
	wantStatus(t, first.mustPost(t, "/register", `{"username":"ana","password":"password123"}`), http.StatusUnprocessableEntity)
	wantStatus(t, first.mustPost(t, "/register", `{"username":"ana","password":"`+goodPassword+`"}`), http.StatusCreated)
	first.banner.await(t, "(user1's password is the one exception to the password policy)")
	first.endBySignal(t, syscall.SIGINT)

	second := startDev(t, dir, nil)
	wantStatus(t, second.refresh(t, token), http.StatusOK)
	second.endBySignal(t, syscall.SIGTERM)

	fresh := startDev(t, dir, nil, "--fresh")
	wantStatus(t, fresh.refresh(t, token), http.StatusForbidden)
	wantStatus(t, fresh.mustPost(t, "/login", `{"username":"ana","password":"`+goodPassword+`"}`), http.StatusBadRequest)
	fresh.login(t, "user1")
	fresh.endBySignal(t, syscall.SIGINT)
}

// The tutorial's .env as it stands: dev takes it with a warning, and never its DATABASE_URL.
func TestDev_TakesTheTutorialsSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dotenv := "PORT=3000\nJWT_SECRET=your_jwt_secret          # change me\nJWT_EXPIRATION=900                 # 15 minutes\n" +
		"JWT_REFRESH_SECRET=your_jwt_refresh_secret\nJWT_REFRESH_EXPIRATION=86400        # 1 day\nDATABASE_URL=postgres://127.0.0.1:1/production\nLISTEN_ADDR=0.0.0.0:1\n"
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(dotenv), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, dir, nil)
	if login := d.login(t, "user1"); login.field(t, "expiresIn") != "900" {
		t.Errorf("the setting of .env was not taken: %s", login.body)
	}
	for _, part := range []string{"warning: JWT_SECRET is a placeholder", "warning: JWT_REFRESH_SECRET is a placeholder"} {
		if !strings.Contains(d.logs.String(), part) {
			t.Errorf("%q was not said", part)
		}
	}
	d.endBySignal(t, syscall.SIGINT)
}

func (d *developing) endBySignal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-d.done:
		if err != nil {
			t.Errorf("dev ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("dev did not end within 30 s")
	}
}
