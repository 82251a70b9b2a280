package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kindred/internal/account"
	"kindred/internal/config"
	"kindred/internal/testdb"
)

// binary is built once, by TestMain: these tests run what users run.
var binary string

// client keeps as many connections as race at once; the default client keeps two and opens the others anew.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kindred-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kindred")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build kindred: %v\n%s", err, out)
		return 1
	}
	return testdb.Run(m)
}

const (
	jwtSecret     = "4T0t9mVsbi4TnE0nVt8Xh3c5mQhJq2wC"
	refreshSecret = "oK7fZ1yPq9uWc3sLd5vBn8xMg2hRj6tE"
)

// command prepares the binary with exactly this environment, in a folder of its own.
func command(t testing.TB, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run waits for a command that ends by itself.
func run(t testing.TB, stdin string, environ []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, environ, args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// output keeps what a process prints and lets a test wait for a line.
type output struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newOutput(r io.Reader) *output {
	o := &output{changed: make(chan struct{})}
	go func() {
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadString('\n')
			o.mu.Lock()
			o.text.WriteString(line)
			close(o.changed)
			o.changed = make(chan struct{})
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return o
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await returns the first submatch of pattern once it is printed.
func (o *output) await(t testing.TB, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	deadline := time.After(60 * time.Second)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if match := expression.FindStringSubmatch(text); match != nil {
			return match[len(match)-1]
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%q was not printed in\n%s", pattern, text)
		}
	}
}

// serving is a running `kindred serve`.
type serving struct {
	url  string
	cmd  *exec.Cmd
	logs *output
	done chan error
}

func serveEnvironment(db string, more ...string) []string {
	return append([]string{
		"DATABASE_URL=" + db, "JWT_SECRET=" + jwtSecret, "JWT_REFRESH_SECRET=" + refreshSecret,
		"LISTEN_ADDR=127.0.0.1:0", "PUBLIC_URL=http://id.example", "DRAIN_DELAY=0",
	}, more...)
}

func startServing(t testing.TB, environ []string) *serving {
	t.Helper()
	return started(t, command(t, environ, "serve"))
}

// started is a server that any binary runs.
func started(t testing.TB, cmd *exec.Cmd) *serving {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &serving{cmd: cmd, logs: newOutput(stderr), done: make(chan error, 1)}
	address := s.logs.await(t, `"msg":"listening","address":"([^"]+)"`)
	go func() { s.done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", address, s.logs)
		}
	})
	s.url = "http://" + address
	return s
}

// answer is what came back from a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) field(t testing.TB, name string) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(a.body), &object); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	return fmt.Sprint(object[name])
}

func (s *serving) post(ctx context.Context, path, body string) (answer, error) {
	return s.do(ctx, http.MethodPost, path, body, "")
}

func (s *serving) do(ctx context.Context, method, path, body, bearer string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func (s *serving) mustPost(t testing.TB, path, body string) answer {
	t.Helper()
	a, err := s.post(t.Context(), path, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *serving) login(t testing.TB, name string) answer {
	t.Helper()
	a := s.mustPost(t, "/login", `{"username":"`+name+`","password":"password123"}`)
	if a.status != http.StatusOK {
		t.Fatalf("login: %d %s", a.status, a.body)
	}
	return a
}

func (s *serving) refresh(t testing.TB, refreshToken string) answer {
	t.Helper()
	return s.mustPost(t, "/token", refreshBody(refreshToken))
}

func (s *serving) get(t testing.TB, path, bearer string) answer {
	t.Helper()
	a, err := s.do(t.Context(), http.MethodGet, path, "", bearer)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// awaitStatus asks until the answer is as wanted, and returns how long that took: what another process
// revokes is known here a moment later.
func (s *serving) awaitStatus(t testing.TB, path, bearer string, status int) time.Duration {
	t.Helper()
	const patience = 10 * time.Second
	for began := time.Now(); ; {
		a := s.get(t, path, bearer)
		if elapsed := time.Since(began); a.status == status {
			return elapsed
		} else if elapsed > patience {
			t.Fatalf("%s: still %d after %v, want %d: %s", path, a.status, elapsed, status, a.body)
		}
	}
}

func refreshBody(token string) string { return `{"refreshToken":"` + token + `"}` }

// addUser makes a user with the password that everybody knows, which no policy would let pass.
func addUser(t testing.TB, db, name string) {
	t.Helper()
	s := replicaBeside(t, serveEnvironment(db))
	if _, err := s.service.CreateUser(t.Context(), operator, name, "password123", account.RoleUser); err != nil {
		t.Fatal(err)
	}
}

// replicaBeside is a replica in this process, for what operators do; any password may be chosen there.
func replicaBeside(t testing.TB, environ []string) *server {
	t.Helper()
	cfg, err := config.Load(config.Source{Environ: environ, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(cfg, slog.New(slog.DiscardHandler), anyPassword)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	return s
}

func wantStatus(t testing.TB, a answer, status int) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
}

// stopped waits for the end of a process that was told to stop.
func (s *serving) stopped(t testing.TB) {
	t.Helper()
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("serve ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("serve did not end within 30 s of SIGTERM")
	}
}

func (s *serving) terminate(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
