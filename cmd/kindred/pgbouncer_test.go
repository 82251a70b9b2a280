//go:build pgbouncer || balancer

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
)

// pooled starts a PgBouncer in transaction mode before the server of db, and returns the address of db
// through it.
func pooled(t testing.TB, db *testdb.DB) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Fatal("these tests need pgbouncer: install it (Debian and Ubuntu: apt-get install pgbouncer)")
	}
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	server := fmt.Sprintf("host=%s port=%s user=%s", u.Hostname(), u.Port(), u.User.Username())
	if password, given := u.User.Password(); given {
		server += " password=" + password
	}
	file := filepath.Join(t.TempDir(), "pgbouncer.ini")
	settings := fmt.Sprintf(`
[databases]
* = %s
[pgbouncer]
pool_mode = transaction
auth_type = any
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
default_pool_size = %d
`, server, port, poolSize)
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{file}
	if os.Getuid() == 0 {
		args = []string{"-u", "nobody", file} // it refuses to be root
	}
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logs := newOutput(stderr)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of pgbouncer:\n%s", logs)
		}
	})
	logs.await(t, `(process up)`)
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	return u.String()
}

const poolSize = 8

// boundSessions sets what the operators' file sets for the server's role, for this role and this database.
func boundSessions(t testing.TB, db *testdb.DB) {
	t.Helper()
	file, err := os.ReadFile("../../deploy/sql/roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`(?m)^        '(\w+ = .+?)'[,\]]`).FindAllStringSubmatch(string(file), -1)
	if len(settings) != 6 {
		t.Fatalf("%d settings in the file, want 6", len(settings))
	}
	config, err := pgx.ParseConfig(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range settings {
		db.Exec(t, fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET %s", pgx.Identifier{config.User}.Sanitize(),
			pgx.Identifier{config.Database}.Sanitize(), strings.ReplaceAll(setting[1], "''", "'")))
	}
}

func TestPgBouncer_EverythingWorks(t *testing.T) {
	t.Parallel()
	for name, direct := range map[string]bool{"with a direct listen URL": true, "by polling": false} {
		t.Run(name, func(t *testing.T) {
			db := testdb.New(t)
			boundSessions(t, db)
			through := pooled(t, db)
			environ := serveEnvironment(through, "DATABASE_POOLER=transaction")
			if direct {
				environ = append(environ, "REVOCATION_LISTEN_URL="+db.URL())
			}
			cli := []string{"DATABASE_URL=" + through, "DATABASE_POOLER=transaction"}
			addUser(t, db.URL(), "user1")
			if _, stderr, code := run(t, goodPassword+"\n", cli, "user", "add", "user2", "--password-stdin"); code != 0 {
				t.Fatalf("user add: %s", stderr)
			}
			a, b := startServing(t, environ), startServing(t, environ)
			for _, s := range []*serving{a, b} {
				if ready := s.get(t, "/readyz", ""); ready.status != http.StatusOK || strings.Contains(ready.body, "detail") {
					t.Errorf("/readyz: %d %s", ready.status, ready.body)
				}
			}
			theStory(t, db, a, b)
			t.Log(name, revocationTimes(t, a, b))
			if stdout, stderr, code := run(t, "", cli, "check"); code != 0 {
				t.Errorf("check: %d %s%s", code, stdout, stderr)
			}
			session := a.login(t, "user1")
			if _, stderr, code := run(t, "", cli, "user", "disable", "user1"); code != 0 {
				t.Errorf("user disable: %s", stderr)
			}
			b.awaitStatus(t, "/me", session.field(t, "accessToken"), http.StatusUnauthorized)
			if n := listening(t, through); n != 0 {
				t.Errorf("%d of the pooler's sessions listen", n)
			}
		})
	}
}

// theStory is login, refresh, a race, reuse and logout over two replicas.
func theStory(t *testing.T, db *testdb.DB, a, b *serving) {
	t.Helper()
	const clients = 60
	first := a.login(t, "user1")
	answers := make([]answer, clients)
	var ready, done sync.WaitGroup
	ready.Add(clients)
	for i := range clients {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			var err error
			if answers[i], err = []*serving{a, b}[i%2].post(t.Context(), "/token", refreshBody(first.field(t, "refreshToken"))); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	child := answers[0].field(t, "refreshToken")
	for i, got := range answers {
		if got.status != http.StatusOK || got.field(t, "refreshToken") != child {
			t.Errorf("client %d: %d %s", i, got.status, got.body)
		}
	}
	grandchild := b.refresh(t, child)
	wantStatus(t, a.get(t, "/protected", grandchild.field(t, "accessToken")), http.StatusOK)
	wantStatus(t, a.get(t, "/sessions", grandchild.field(t, "accessToken")), http.StatusOK)
	db.Advance(t, 11*time.Second)
	wantStatus(t, a.refresh(t, first.field(t, "refreshToken")), http.StatusForbidden) // reuse
	wantStatus(t, b.refresh(t, grandchild.field(t, "refreshToken")), http.StatusForbidden)
	b.awaitStatus(t, "/protected", grandchild.field(t, "accessToken"), http.StatusForbidden)
}

// listening looks at each session that the pooler holds, all at once.
func listening(t *testing.T, through string) (n int) {
	t.Helper()
	for range poolSize {
		conn, err := pgx.Connect(t.Context(), through)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		// In one transaction each, so that each has a session of its own.
		var channels int
		for _, statement := range []string{`BEGIN`, `SELECT count(*) FROM pg_listening_channels()`} {
			rows, err := conn.Query(t.Context(), statement, pgx.QueryExecModeSimpleProtocol)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pgx.ForEachRow(rows, []any{&channels}, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		n += channels
	}
	return n
}
