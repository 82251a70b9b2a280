package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kindred/internal/config"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// twoProcesses serve one database, with a user to log in as.
func twoProcesses(t testing.TB, db *testdb.DB, more ...string) (a, b *serving) {
	t.Helper()
	addUser(t, db.URL(), "user1")
	environ := serveEnvironment(db.URL(), more...)
	return startServing(t, environ), startServing(t, environ)
}

func logOut(t testing.TB, s *serving, bearer string) {
	t.Helper()
	if a, err := s.do(t.Context(), http.MethodPost, "/logout", "", bearer); err != nil || a.status != http.StatusNoContent {
		t.Fatalf("logout: %+v %v", a, err)
	}
}

// A check needs neither users nor families: it is answered although nobody can read them.
func TestServe_ChecksCostNoStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := twoProcesses(t, db)
	ended, kept := a.login(t, "user1").field(t, "accessToken"), b.login(t, "user1").field(t, "accessToken")
	for _, path := range []string{"/protected", "/me"} {
		wantStatus(t, b.get(t, path, ended), http.StatusOK)
	}
	logOut(t, a, ended)
	wantStatus(t, a.get(t, "/protected", ended), http.StatusForbidden)
	b.awaitStatus(t, "/protected", ended, http.StatusForbidden)

	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE users, token_families IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*serving{a, b} {
		for range 20 {
			wantStatus(t, s.get(t, "/protected", kept), http.StatusOK)
			wantStatus(t, s.get(t, "/me", kept), http.StatusOK)
			wantStatus(t, s.get(t, "/protected", ended), http.StatusForbidden)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A process that was suspended heard nothing: it must not believe its list when it wakes.
func TestServe_SuspendedProcessAsksTheDatabase(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := twoProcesses(t, db)
	tokens := a.login(t, "user1").field(t, "accessToken")
	wantStatus(t, b.get(t, "/protected", tokens), http.StatusOK)
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	logOut(t, a, tokens)
	// The bound is one of the world's clock, which no test can move.
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		wantStatus(t, a.get(t, "/protected", tokens), http.StatusForbidden)
	}
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, b.get(t, "/protected", tokens), http.StatusForbidden)
}

// The feed lost is a hint for the operator and no trouble for clients; the database lost with it is 503.
func TestServe_FeedLostAndTheDatabaseToo(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	feedLine, poolLine := db.Line(t), db.Line(t)
	s := startServing(t, serveEnvironment(poolLine.URL(), "REVOCATION_LISTEN_URL="+feedLine.URL(), "REQUEST_TIMEOUT=1s"))
	token := s.login(t, "user1").field(t, "accessToken")
	if ready := s.get(t, "/readyz", ""); ready.status != http.StatusOK || strings.Contains(ready.body, "detail") {
		t.Errorf("/readyz while all is well: %d %s", ready.status, ready.body)
	}
	feedLine.Hold()
	s.logs.await(t, `(revocation feed is lost)`)
	if ready := s.get(t, "/readyz", ""); ready.status != http.StatusOK || !strings.Contains(ready.body, "feed is late") {
		t.Errorf("/readyz with the feed lost: %d %s", ready.status, ready.body)
	}
	wantStatus(t, s.get(t, "/protected", token), http.StatusOK)
	poolLine.Hold()
	a := s.get(t, "/protected", token)
	wantStatus(t, a, http.StatusServiceUnavailable)
	if a.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	wantStatus(t, s.get(t, "/me", token), http.StatusServiceUnavailable)
	feedLine.Release()
	poolLine.Release()
	s.logs.await(t, `(revocation feed is back)`)
	wantStatus(t, s.get(t, "/protected", token), http.StatusOK)
}

// Sessions that are not bounded as they should be are named, also when the database comes later than serve.
func TestServe_NamesSessionSettingsThatAreMissing(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t)
	server.Stop(t, "fast")
	// What a pooler in transaction mode does to start-up parameters, without one.
	s := startServing(t, serveEnvironment(server.URL(), "DATABASE_POOLER=transaction"))
	server.Start(t)
	s.logs.await(t, `(lock_timeout is 0, not 500)`)
	ready := s.get(t, "/readyz", "")
	for _, name := range []string{"lock_timeout", "statement_timeout", "plan_cache_mode", "idle_in_transaction_session_timeout", "client_connection_check_interval"} {
		if ready.status != http.StatusOK || !strings.Contains(ready.body, name) {
			t.Errorf("%s is not named: %d %s", name, ready.status, ready.body)
		}
	}
}

// A user's revocation lasts as long as the longest-lived token that the settings allow.
func TestServe_NoAccessTokenOutlivesItsRevocation(t *testing.T) {
	t.Parallel()
	if config.MaxJWTExpiration > store.MaxAccessLifetime {
		t.Errorf("JWT_EXPIRATION may be %v, revocations last %v", config.MaxJWTExpiration, store.MaxAccessLifetime)
	}
}

func TestServe_RefusesAListenURLThatIsNone(t *testing.T) {
	t.Parallel()
	_, stderr, code := run(t, "", serveEnvironment("postgres://127.0.0.1/x", "REVOCATION_LISTEN_URL=postgres://user:hunter2@127.0.0.1:port/x"), "serve")
	if code == 0 || !strings.Contains(stderr, "REVOCATION_LISTEN_URL") || strings.Contains(stderr, "hunter2") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

// What one process revokes the other refuses, told or not. `make bench-revocation` prints how soon.
func TestServe_RevocationReachesTheOtherProcess(t *testing.T) {
	t.Parallel()
	// Behind a pooler nothing is heard; without one that is the same wait.
	for how, more := range map[string][]string{"LISTEN": nil, "polling": {"DATABASE_POOLER=transaction"}} {
		t.Run(how, func(t *testing.T) {
			a, b := twoProcesses(t, testdb.New(t), more...)
			t.Log(how, revocationTimes(t, a, b))
		})
	}
}

// revocationTimes measures from the 204 of a logout on a to the refusal on b, REVOCATION_ROUNDS times.
func revocationTimes(t *testing.T, a, b *serving) string {
	t.Helper()
	rounds := 10
	if asked := os.Getenv("REVOCATION_ROUNDS"); asked != "" {
		var err error
		if rounds, err = strconv.Atoi(asked); err != nil || rounds < 1 {
			t.Fatal("REVOCATION_ROUNDS must be a number of rounds")
		}
	}
	times := make([]time.Duration, rounds)
	for i := range times {
		token := a.login(t, "user1").field(t, "accessToken")
		// The login began when a reading had just been taken: the token is used for as long as it takes to forget that.
		used := rand.N(500 * time.Millisecond)
		for began := time.Now(); time.Since(began) < used; {
			wantStatus(t, b.get(t, "/protected", token), http.StatusOK)
		}
		logOut(t, a, token)
		times[i] = b.awaitStatus(t, "/protected", token, http.StatusForbidden)
	}
	slices.Sort(times)
	at := func(percent int) time.Duration {
		return times[(len(times)-1)*percent/100].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("from the 204 to the refusal elsewhere, %d times: p50 %v, p99 %v, longest %v", rounds, at(50), at(99), at(100))
}
