package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programs is a folder with both binaries, built once: these tests run what `make bench` runs.
var programs string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kindred-bench-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	if out, err := exec.Command("go", "build", "-o", dir, "../kindred", ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command prepares a bench with an environment whose database is not for it.
func command(t *testing.T, out string, rounds int) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "kindred-bench"),
		"--kindred", filepath.Join(programs, "kindred"), "--out", out, "--rounds", strconv.Itoa(rounds), "--seconds", "0.1")
	cmd.Env = append(os.Environ(), "DATABASE_URL=postgres://127.0.0.1:1/production")
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func TestBench_ShortRunGivesEveryFigure(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "bench.json")
	cmd := command(t, out, 2)
	var table, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &table, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Figures, Ratios map[string]map[string]any }
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for name, figure := range got.Figures {
		wantSpread(t, table.String(), name, figure)
		if unit, ok := figure["unit"].(string); !ok || unit == "" {
			t.Errorf("figure %s is %v", name, figure)
		}
	}
	for name, ratio := range got.Ratios {
		wantSpread(t, table.String(), name, ratio)
	}
	for _, name := range []string{"refresh_http_over_bare_16", "refresh_http_hs256_over_bare_64", "beside_logins_over_quiet_1_slot_p99", "login_1_slot_over_bare_argon2id"} {
		if _, found := got.Ratios[name]; !found {
			t.Errorf("there is no ratio %s", name)
		}
	}
	_, memoryErr := memoryOf(os.Getpid())
	for name := range goals() {
		figure := got.Figures[name]
		if figure == nil {
			figure = got.Ratios[name]
		}
		if figure == nil && strings.Contains(name, "memory") && memoryErr != nil {
			continue // not on this machine
		}
		if _, judged := figure["goal"].(map[string]any); !judged {
			t.Errorf("%s has a goal, and is %v", name, figure)
		}
	}
	if !strings.Contains(table.String(), "access tokens signed with ES256") {
		t.Errorf("no ES256:\n%s", table.String())
	}
	// As docs/decisions/one-statement.md has them.
	for name, want := range map[string]float64{"statements_refresh": 1, "statements_protected": 0, "statements_login": 9} {
		if figure := got.Figures[name]; figure["min"] != want || figure["max"] != want {
			t.Errorf("%s is %v, want %g", name, figure, want)
		}
	}
}

// wantSpread looks at what holds for every figure, whatever it is, and for its line of the table.
func wantSpread(t *testing.T, table, name string, s map[string]any) {
	t.Helper()
	lowest, _ := s["min"].(float64)
	median, _ := s["median"].(float64)
	highest, _ := s["max"].(float64)
	if lowest < 0 || lowest == 0 && name != "statements_protected" || lowest > median || median > highest {
		t.Errorf("%s is %v", name, s)
	}
	if !strings.Contains(table, "\n"+name+" ") {
		t.Errorf("%s is not in the table:\n%s", name, table)
	}
}

func TestBench_InterruptEndsEverything(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "bench.json")
	cmd := command(t, out, 1000)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C reaches all of a group
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(stdout).ReadString('\n')
	match := regexp.MustCompile(`data in ([^;]+);`).FindStringSubmatch(first)
	if match == nil {
		t.Fatalf("the first line is %q (%v)", first, err)
	}
	data := match[1]
	pidFile, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	postgres, err := strconv.Atoi(strings.SplitN(string(pidFile), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.HasSuffix(log.String(), "kindred-bench: interrupted\n") {
		t.Errorf("it ended with %v:\n%s", err, log.String())
	}
	for _, process := range []int{-cmd.Process.Pid, postgres} {
		if err := syscall.Kill(process, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d lives on (%v)", process, err)
		}
	}
	for _, path := range []string{data, out} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was left behind (%v)", path, err)
		}
	}
}

func TestBench_FailedRequestFailsTheMeasurement(t *testing.T) {
	t.Parallel()
	requests := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests > 3 {
			http.Error(w, "too slow", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	b := bench{bare: &server{address: s.Listener.Addr().String()}, accessTokens: []string{"any"}}
	l := load{name: "failing", workers: 1, begin: at(b.bare, b.protected)}
	_, err := l.measure(t.Context(), 5*time.Second)
	if want := "failing: GET /protected: status 503, want 200: too slow\n"; err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// More log in than the gate has room for, so that some are refused all the time.
func TestLoad_BesideAnotherIsRefusedForWantOfRoom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, retryAfter string
		status           int
		fails            bool
	}{
		{"busy", "3600", http.StatusServiceUnavailable, false},
		{"busy for ever", "", http.StatusServiceUnavailable, true},
		{"throttled", "3600", http.StatusTooManyRequests, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", test.retryAfter)
				http.Error(w, test.name, test.status)
			}))
			t.Cleanup(s.Close)
			b := bench{bare: &server{address: s.Listener.Addr().String()}}
			end := b.logins("beside", 1, b.bare).keepUp(t.Context())
			if rate, err := end(); (err != nil) != test.fails || rate != 0 {
				t.Errorf("%g a second, error %v", rate, err)
			}
		})
	}
}
