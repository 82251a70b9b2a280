package main

import (
	"net/http"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

// wantUnavailable is what whoever asks a database is told that waits for restore-guard: nothing about tokens.
func wantUnavailable(t testing.TB, a answer) {
	t.Helper()
	wantStatus(t, a, http.StatusServiceUnavailable)
	if a.header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After: %s", a.body)
	}
}

// What was logged out after the backup lives again in it. No server of the restored database believes it.
func TestRestoreGuard_ARestoredBackupIsServedOnceItRan(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "ana")
	before := startServing(t, serveEnvironment(db.URL(), keyEncryptionKey))
	ended, living := before.login(t, "ana"), before.login(t, "ana")
	before.terminate(t)
	before.stopped(t)
	backup := db.Copy(t)
	before = startServing(t, serveEnvironment(db.URL(), keyEncryptionKey))
	wantStatus(t, before.mustPost(t, "/logout", refreshBody(ended.field(t, "refreshToken"))), http.StatusNoContent)
	before.terminate(t)
	before.stopped(t)

	s := startServing(t, serveEnvironment(backup.URL(), keyEncryptionKey))
	ready := s.get(t, "/readyz", "")
	wantUnavailable(t, ready)
	if !strings.Contains(ready.field(t, "detail"), "kindred restore-guard") {
		t.Errorf("/readyz does not say what helps: %s", ready.body)
	}
	for _, tokens := range []answer{ended, living} {
		wantUnavailable(t, s.refresh(t, tokens.field(t, "refreshToken")))
		wantUnavailable(t, s.get(t, "/protected", tokens.field(t, "accessToken")))
	}
	wantUnavailable(t, s.mustPost(t, "/login", `{"username":"ana","password":"password123"}`))

	environ := []string{"DATABASE_URL=" + backup.URL()}
	if _, stderr, code := run(t, "", environ, "restore-guard"); code != exitUsage || !strings.Contains(stderr, "--yes") {
		t.Errorf("without a word of consent: exit code %d: %s", code, stderr)
	}
	stdout, stderr, code := run(t, "", environ, "restore-guard", "--yes")
	for _, part := range []string{"ended 2 sessions", "ended 1 signing keys", "are refused", "may start"} {
		if code != 0 || !strings.Contains(stdout, part) {
			t.Errorf("exit code %d, %q is not in\n%s%s", code, part, stdout, stderr)
		}
	}
	s.awaitStatus(t, "/readyz", "", http.StatusOK)
	for _, tokens := range []answer{ended, living} {
		wantStatus(t, s.refresh(t, tokens.field(t, "refreshToken")), http.StatusForbidden)
		wantStatus(t, s.get(t, "/protected", tokens.field(t, "accessToken")), http.StatusForbidden)
	}
	again := s.login(t, "ana")
	wantStatus(t, s.get(t, "/protected", again.field(t, "accessToken")), http.StatusOK)
	if stdout, _, _ := run(t, "", environ, "explain", "ana"); !strings.Contains(stdout, "restored from a backup") {
		t.Errorf("explain says\n%s", stdout)
	}
}

func TestRestoreGuard_MovedEndsNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "ana")
	before := startServing(t, serveEnvironment(db.URL()))
	tokens := before.login(t, "ana")
	before.terminate(t)
	before.stopped(t)
	moved := db.Copy(t)
	environ := []string{"DATABASE_URL=" + moved.URL()}
	for _, want := range []string{`{"moved":true}`, `{"moved":false}`} {
		if stdout, stderr, code := run(t, "", environ, "restore-guard", "--moved", "--json"); code != 0 || strings.TrimSpace(stdout) != want {
			t.Errorf("exit code %d, want %s: %s%s", code, want, stdout, stderr)
		}
	}
	s := startServing(t, serveEnvironment(moved.URL()))
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusOK)
	wantStatus(t, s.get(t, "/protected", tokens.field(t, "accessToken")), http.StatusOK)
	wantStatus(t, s.refresh(t, tokens.field(t, "refreshToken")), http.StatusOK)
}
