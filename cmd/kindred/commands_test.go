package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"kindred/internal/testdb"
)

func TestMigrate_UpStatusDown(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	environ := []string{"DATABASE_URL=" + db.URL()}
	want := func(code int, parts []string, args ...string) {
		t.Helper()
		stdout, stderr, got := run(t, "", environ, args...)
		if got != code {
			t.Errorf("%v: exit code %d, want %d: %s", args, got, code, stderr)
		}
		for _, part := range parts {
			if !strings.Contains(stdout+stderr, part) {
				t.Errorf("%v: %q is not in\n%s%s", args, part, stdout, stderr)
			}
		}
	}
	want(0, []string{"pending"}, "migrate", "status")
	want(0, []string{"up 00001_users.sql"}, "migrate", "up")
	want(0, []string{"nothing to do"}, "migrate", "up")
	want(0, []string{"applied 20"}, "migrate", "status")
	want(0, []string{"I1 to I5 hold"}, "check")
	addUser(t, db.URL(), "user1")
	want(4, []string{"--discard-data"}, "migrate", "down")
	want(0, []string{"down 000"}, "migrate", "down", "--discard-data")
	want(0, []string{"pending"}, "migrate", "status")
}

// goodPassword is one that the policy lets pass.
const goodPassword = "quiet lantern nine rivers"

func TestUser_AddDisableEnable(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	environ := []string{"DATABASE_URL=" + db.URL()}
	s := startServing(t, serveEnvironment(db.URL()))
	want := func(code int, part, stdin string, args ...string) {
		t.Helper()
		stdout, stderr, got := run(t, stdin, environ, args...)
		if got != code || !strings.Contains(stdout+stderr, part) {
			t.Errorf("%v: exit code %d, want %d with %q in\n%s%s", args, got, code, part, stdout, stderr)
		}
		if stdin != "" && strings.Contains(stdout+stderr, strings.TrimSpace(stdin)) {
			t.Errorf("%v prints the password", args)
		}
	}
	want(0, "added user1, role user", goodPassword+"\n", "user", "add", "user1", "--password-stdin")
	want(0, "role operator", goodPassword+" too\r\n", "user", "add", "user2", "--role", "operator", "--password-stdin")
	want(4, "already", goodPassword+"\n", "user", "add", "USER1", "--password-stdin")
	want(4, "at least 15 characters", "short\n", "user", "add", "user3", "--password-stdin")
	want(4, "too easy to guess", "password123password123\n", "user", "add", "user3", "--password-stdin")
	want(4, "contains the username", "the user3 of nine rivers\n", "user", "add", "user3", "--password-stdin")
	want(4, "invalid role", goodPassword+"\n", "user", "add", "user3", "--role", "A B", "--password-stdin")
	want(2, "--password-stdin", "", "user", "add", "user3")
	want(3, "no user", "", "user", "disable", "user3")

	login := func() answer { return s.mustPost(t, "/login", `{"username":"user1","password":"`+goodPassword+`"}`) }
	tokens := login()
	want(0, "", "", "user", "disable", "user1")
	s.awaitStatus(t, "/protected", tokens.field(t, "accessToken"), http.StatusForbidden)
	wantStatus(t, s.refresh(t, tokens.field(t, "refreshToken")), http.StatusForbidden)
	wantStatus(t, login(), http.StatusBadRequest)
	want(0, "", "", "user", "enable", "user1")
	wantStatus(t, login(), http.StatusOK)
}

func TestUser_AddReadsTheSettingsOfPasswords(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte("Quiet Lantern Nine Rivers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	breached := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			const suffix = "756C64BE9829635A05BCF695A92230E0BBD" // of the SHA-1 of "nine quiet lantern rivers"
			fmt.Fprintln(w, suffix+":5")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(breached.Close)
	environ := []string{"DATABASE_URL=" + db.URL(), "PASSWORD_BLOCKLIST_FILE=" + list, "HIBP_URL=" + breached.URL, "PASSWORD_MIN_LENGTH=8", "PASSWORD_ARGON2_MEMORY=7168", "PASSWORD_ARGON2_ITERATIONS=5"}
	for i, c := range []struct {
		typed, part string
		code        int
	}{
		{goodPassword, "on the list", exitRefused}, {"nine quiet lantern rivers", "in a data breach", exitRefused}, {"nine quiet lantern rivers", "added user1", 0},
	} {
		if stdout, stderr, code := run(t, c.typed, environ, "user", "add", "user1", "--password-stdin"); code != c.code || !strings.Contains(stdout+stderr, c.part) {
			t.Errorf("%d: exit code %d, want %d with %q in\n%s%s", i, code, c.code, c.part, stdout, stderr)
		}
	}
	wantHash := func(prefix string) {
		t.Helper()
		var hash string
		if err := db.Conn(t).QueryRow(t.Context(), `SELECT password_hash FROM users`).Scan(&hash); err != nil || !strings.HasPrefix(hash, prefix) {
			t.Errorf("hash %q, want %s, error %v", hash, prefix, err)
		}
	}
	wantHash("$argon2id$v=19$m=7168,t=5,p=1$")
	// Where the settings are others, the next login makes another hash.
	s := startServing(t, serveEnvironment(db.URL(), "PASSWORD_ARGON2_MEMORY=9216", "PASSWORD_ARGON2_ITERATIONS=4", "PASSWORD_ARGON2_PARALLELISM=2"))
	wantStatus(t, s.mustPost(t, "/login", `{"username":"user1","password":"nine quiet lantern rivers"}`), http.StatusOK)
	wantHash("$argon2id$v=19$m=9216,t=4,p=2$")
	for _, wrong := range []string{"PASSWORD_BLOCKLIST_FILE=" + t.TempDir() + "/none", "PASSWORD_BLOCKLIST_FILE=" + binary, "PASSWORD_MIN_LENGTH=7"} {
		name, _, _ := strings.Cut(wrong, "=")
		if _, stderr, code := run(t, goodPassword, []string{"DATABASE_URL=" + db.URL(), wrong}, "user", "add", "user2", "--password-stdin"); code != 1 || !strings.Contains(stderr, name) {
			t.Errorf("%s: exit code %d: %s", wrong, code, stderr)
		}
	}
}

func TestCheck_FindsDamage(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	s := startServing(t, serveEnvironment(db.URL()))
	s.refresh(t, s.login(t, "user1").field(t, "refreshToken"))
	db.Exec(t, `UPDATE token_families SET current_hash = sha256('x')`)
	stdout, _, code := run(t, "", []string{"DATABASE_URL=" + db.URL()}, "check")
	if code != 1 || !strings.Contains(stdout, "I2 family ") {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
}

func TestCommands_TroubleIsToldInOneLineWithoutThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://u:s3cret@127.0.0.1:1/x", "postgres://u:s3cret@127.0.0.1:port/x", "", "s3cret", "host=127.0.0.1 port=x password = s3cret user=u",
		"host=h password='s3cret x", "postgres://u:hun@s3cret@h:9x/db",
	} {
		for _, args := range [][]string{{"migrate", "up"}, {"migrate", "status"}, {"migrate", "down"}, {"check"}, {"user", "disable", "x"}, {"keys", "list"}, {"keys", "retire", "x"}, {"explain", "x"}, {"serve"}} {
			if args[0] == "serve" && strings.Contains(url, ":1/") {
				continue // it waits for that database
			}
			want := exitFailed
			if strings.Contains(url, ":1/") {
				want = exitUnavailable // nothing is wrong with the address
			}
			stdout, stderr, code := run(t, "", []string{"DATABASE_URL=" + url}, args...)
			if code != want || !strings.HasPrefix(stderr, "kindred: ") || strings.Contains(stdout+stderr, "s3cret") {
				t.Errorf("%q %v: exit code %d\n%s%s", url, args, code, stdout, stderr)
			}
		}
	}
}

func TestVersion_NamesTheSchema(t *testing.T) {
	t.Parallel()
	stdout, _, code := run(t, "", nil, "version")
	if code != 0 || !strings.HasPrefix(stdout, "kindred ") || !strings.Contains(stdout, "schema ") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}
