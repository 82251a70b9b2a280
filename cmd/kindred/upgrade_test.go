//go:build upgrade

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// What operators do on a weekday afternoon, while people log in and refresh: from the release before to this
// one, the schema first, then the roles, then replica by replica. No request may fail.
func TestUpgrade_NobodyNotices(t *testing.T) {
	previous := buildPrevious(t)
	before := func(environ []string, args ...string) *exec.Cmd {
		cmd := command(t, environ, args...)
		cmd.Path, cmd.Args[0] = previous, previous
		return cmd
	}
	db := testdb.Empty(t)
	url := []string{"DATABASE_URL=" + db.URL()}
	if out, err := before(url, "migrate", "up").CombinedOutput(); err != nil {
		t.Fatalf("migrate up of the previous release: %v\n%s", err, out)
	}
	names := []string{"ana", "ben", "cleo", "dan", "eve", "finn"}
	for _, name := range names {
		add := before(url, "user", "add", name, "--password-stdin")
		add.Stdin = strings.NewReader(goodPassword + "\n")
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("user add of the previous release: %v\n%s", err, out)
		}
	}
	environ := serveEnvironment(db.URL(), "DRAIN_DELAY=1s")
	old := []*serving{started(t, before(environ, "serve")), started(t, before(environ, "serve"))}

	l := newLoad(t)
	for _, s := range old {
		l.add(s, "previous")
	}
	for _, name := range names {
		l.begin(name)
	}
	const some = 100 // requests, of which all steps see as many
	l.await(some)
	newTerminal(t, db).want(0, "", "", "migrate", "up")
	l.await(some)
	giveRoles(t, db)
	l.await(some)
	for _, s := range old {
		l.add(startServing(t, serveEnvironment(as(t, "kindred_server", db.URL()), "DRAIN_DELAY=1s")), "new")
		l.await(some)
		s.terminate(t)
		s.stopped(t)
		l.await(some)
	}
	l.end()
	if l.failed > 0 || l.answers["previous"] < some || l.answers["new"] < some {
		t.Errorf("%d requests failed", l.failed)
	}
	t.Logf("answers: %v, failed: %d", l.answers, l.failed)
	newTerminal(t, db).want(0, "", "", "check")
}

// buildPrevious builds the commit that testdata/previous-release names.
func buildPrevious(t *testing.T) (program string) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/previous-release")
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.TrimSpace(string(text))
	if err := exec.Command("git", "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		t.Fatalf("this clone lacks commit %s, the previous release (testdata/previous-release): git fetch --unshallow gets it", commit)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "source.tar")
	program = filepath.Join(dir, "kindred")
	for _, step := range [][]string{
		{"git", "-C", "../..", "archive", "--output", archive, commit},
		{"tar", "-xf", archive, "-C", dir},
		{"go", "build", "-C", dir, "-o", program, "./cmd/kindred"},
	} {
		if out, err := exec.Command(step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", step, err, out)
		}
	}
	return program
}

// load is people who log in, refresh and log out at 50 requests a second, through a balancer that goes by /readyz.
type load struct {
	t       *testing.T
	ctx     context.Context
	stop    context.CancelFunc
	working sync.WaitGroup
	pace    <-chan time.Time

	mu       sync.Mutex
	replicas []*serving
	version  map[*serving]string
	turn     int
	answers  map[string]int
	failed   int
	answered chan struct{} // closed, and made anew, with each answer
}

func newLoad(t *testing.T) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, ctx: ctx, stop: stop, pace: time.Tick(20 * time.Millisecond), version: map[*serving]string{}, answers: map[string]int{}, answered: make(chan struct{})}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.stop()
	l.working.Wait()
}

// add lets a replica get requests once it is ready, and for as long as it is.
func (l *load) add(s *serving, version string) {
	l.t.Helper()
	s.awaitStatus(l.t, "/readyz", "", http.StatusOK)
	l.mu.Lock()
	l.replicas, l.version[s] = append(l.replicas, s), version
	l.mu.Unlock()
	l.working.Go(func() {
		for range time.Tick(50 * time.Millisecond) {
			if a, err := s.do(l.ctx, http.MethodGet, "/readyz", "", ""); err != nil || a.status != http.StatusOK {
				break
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, other := range l.replicas {
			if other == s {
				l.replicas = append(l.replicas[:i:i], l.replicas[i+1:]...)
				break
			}
		}
	})
}

// await returns after so many more answers.
func (l *load) await(more int) {
	l.t.Helper()
	deadline := time.After(time.Minute)
	for range more {
		l.mu.Lock()
		answered := l.answered
		l.mu.Unlock()
		select {
		case <-answered:
		case <-deadline:
			l.t.Fatal("the requests have stopped")
		}
	}
}

// begin is one person: a login, refreshes by whichever replica, a logout, and the end of that session.
func (l *load) begin(name string) {
	const refreshes = 8
	l.working.Go(func() {
		for l.ctx.Err() == nil {
			token := l.field(l.ask(http.StatusOK, "/login", `{"username":"`+name+`","password":"`+goodPassword+`"}`, ""), "refreshToken")
			for range refreshes {
				a := l.ask(http.StatusOK, "/token", refreshBody(token), "")
				token = l.field(a, "refreshToken")
				l.ask(http.StatusOK, "/protected", "", l.field(a, "accessToken"))
			}
			l.ask(http.StatusNoContent, "/logout", refreshBody(token), "")
			l.ask(http.StatusForbidden, "/token", refreshBody(token), "")
		}
	})
}

// ask counts any other answer as a failure, and none that comes after the end.
func (l *load) ask(want int, path, body, bearer string) answer {
	select {
	case <-l.pace:
	case <-l.ctx.Done():
		return answer{}
	}
	l.mu.Lock()
	if len(l.replicas) == 0 {
		l.failed++
		l.mu.Unlock()
		l.t.Error("no replica is ready")
		return answer{}
	}
	l.turn++
	s := l.replicas[l.turn%len(l.replicas)]
	l.mu.Unlock()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	a, err := s.do(context.WithoutCancel(l.ctx), method, path, body, bearer)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || a.status != want {
		l.failed++
		l.t.Error(fmt.Errorf("%s of the %s release: %d %s, want %d; error %w", path, l.version[s], a.status, a.body, want, err))
	}
	l.answers[l.version[s]]++
	close(l.answered)
	l.answered = make(chan struct{})
	return a
}

// field reads what an answer has; one that has none has been counted as a failure.
func (l *load) field(a answer, name string) string {
	if a.status != http.StatusOK {
		return ""
	}
	return a.field(l.t, name)
}
