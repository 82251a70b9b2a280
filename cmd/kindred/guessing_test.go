package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// attack is guesses at one account on two processes of the real binary, each from an address that the
// attacker makes up. It counts those that were evaluated, which is all that were not answered 429.
type attack struct {
	t         *testing.T
	db        *testdb.DB
	environ   []string
	processes [2]*serving
	guesses   atomic.Int64

	evaluated, throttled atomic.Int64
}

func newAttack(t *testing.T, settings ...string) *attack {
	t.Helper()
	db := testdb.New(t)
	// All find a place in the queue before the hashing.
	a := &attack{t: t, db: db, environ: serveEnvironment(db.URL(), append(settings, "HASH_SLOTS=8")...)}
	addUser(t, db.URL(), "owner")
	a.restart()
	return a
}

// restart replaces both processes by new ones.
func (a *attack) restart() {
	a.t.Helper()
	for i, running := range a.processes {
		if running != nil {
			running.terminate(a.t)
			running.stopped(a.t)
		}
		a.processes[i] = startServing(a.t, a.environ)
	}
}

// guess makes up an address in each header that there is; behind a proxy that appends the true one, it
// is the attacker's share of the header. It is false for a guess that is to be sent again.
func (a *attack) guess(name, behindProxy string) bool {
	n := a.guesses.Add(1)
	forged := fmt.Sprintf("10.%d.%d.1", n/256%256, n%256)
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.processes[n%2].url+"/login",
		strings.NewReader(fmt.Sprintf(`{"username":"%s","password":"guess number %d"}`, name, n)))
	if err != nil {
		a.t.Error(err)
		return true
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", forged)
	request.Header.Set("Forwarded", "for="+forged)
	if behindProxy != "" {
		request.Header.Set("X-Forwarded-For", forged+", "+behindProxy)
	}
	response, err := client.Do(request)
	if err != nil {
		a.t.Error(err)
		return true
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusBadRequest:
		a.evaluated.Add(1)
	case http.StatusTooManyRequests:
		a.throttled.Add(1)
		if response.Header.Get("Retry-After") == "" {
			a.t.Error("429 without Retry-After")
		}
	case http.StatusServiceUnavailable: // too many hash: nothing was evaluated, and it was given back
		return false
	default:
		a.t.Errorf("status %d", response.StatusCode)
	}
	return true
}

// flood guesses n times, 20 at once.
func (a *attack) flood(n int, names func(i int) string, behindProxy string) (evaluated int64) {
	before := a.evaluated.Load()
	var next atomic.Int64
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				for !a.guess(names(int(i)), behindProxy) {
				}
			}
		})
	}
	clients.Wait()
	return a.evaluated.Load() - before
}

func (a *attack) ownersLogin(device string) answer {
	a.t.Helper()
	return a.processes[0].mustPost(a.t, "/login", `{"username":"owner","password":"password123","deviceToken":"`+device+`"}`)
}

// `make guessing` prints its figures. A stranger guesses at one account over two processes with ever new
// forged addresses: as many as the account allows are evaluated, the owner logs in on a known device all
// the while, and a restart of both processes resets nothing.
func TestGuessing_OneAccountOverTwoProcesses(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	device := a.ownersLogin("").field(t, "deviceToken")
	a.db.Freeze(t, a.db.Now().Add(time.Second).Truncate(time.Second))
	owner := func(int) string { return "owner" }
	report := func(when string, want int64) {
		t.Helper()
		t.Logf("%-22s %4d guesses sent, %3d evaluated, %4d throttled", when, a.guesses.Load(), a.evaluated.Load(), a.throttled.Load())
		if got := a.evaluated.Load(); got != want {
			t.Errorf("%s: %d guesses were evaluated, want %d", when, got, want)
		}
		login := a.ownersLogin(device)
		wantStatus(t, login, http.StatusOK)
		device = login.field(t, "deviceToken")
		wantStatus(t, a.ownersLogin(""), http.StatusTooManyRequests)
	}
	a.flood(200, owner, "")
	report("at once", 5)
	a.restart()
	a.flood(40, owner, "")
	report("after a restart", 5)
	elapsed := time.Duration(0)
	pass := func(until, step time.Duration) {
		for ; elapsed < until; elapsed += step {
			a.db.Advance(t, step)
			a.flood(3, owner, "")
		}
	}
	pass(15*time.Minute, 8*time.Second)
	report("in a quarter hour", 14)
	pass(time.Hour, 5*time.Minute)
	report("in an hour", 17)
	a.restart()
	pass(24*time.Hour, 15*time.Minute)
	report("in a day", 100)
	pass(5*24*time.Hour, 12*time.Hour)
	report("in five days", 100)
	a.db.Exec(t, `UPDATE users SET password_changed_at = clock_timestamp()`)
	wantStatus(t, a.ownersLogin(""), http.StatusOK)
}

// Guesses at ever new names from one network, behind a trusted proxy: what the attacker writes to the left
// of the true address makes no other network of it.
func TestGuessing_ManyAccountsFromOneNetwork(t *testing.T) {
	t.Parallel()
	a := newAttack(t, "TRUSTED_PROXIES=127.0.0.0/8", "GUESSES_PER_NETWORK=50/30", "GUESSES_OVERALL=80/30")
	a.db.Freeze(t, a.db.Now().Truncate(time.Second))
	names := func(i int) string { return fmt.Sprintf("name%d-%d", a.guesses.Load(), i) }
	for _, step := range []struct {
		what, from string
		after      time.Duration
		want       int64
	}{
		{"one network", "192.0.2.7", 0, 50},
		{"the same network", "192.0.2.99", 0, 0},
		{"another network: all are at their limit", "198.51.100.7", 0, 30},
		{"a minute later", "192.0.2.7", time.Minute, 30},
	} {
		a.db.Advance(t, step.after)
		evaluated := a.flood(100, names, step.from)
		t.Logf("%-40s 100 guesses sent, %2d evaluated", step.what, evaluated)
		if evaluated != step.want {
			t.Errorf("%s: %d guesses were evaluated, want %d", step.what, evaluated, step.want)
		}
	}
}
