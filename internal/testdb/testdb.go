// Package testdb gives each test a PostgreSQL database of its own, migrated, on a clock that the
// test can move.
//
// A test package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }
//
// and takes a database with [New]. The server starts at the first of them, once for the process,
// and ends with it. It is, in this order: the one that TEST_DATABASE_URL names (a role that may
// create databases); a container, where a Docker daemon answers and the image
// KINDRED_TEST_POSTGRES_IMAGE (default postgres:17-alpine) can be had; the PostgreSQL programs of
// this machine. KINDRED_TEST_POSTGRES=url|testcontainers|local forces one of them. Where none can be
// had the tests fail and say what to install: they are never skipped.
package testdb

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	limit      = time.Minute     // for one statement of ours, far above what any of them needs
	startLimit = 5 * time.Minute // for a server, its installation included
)

// DB is one test's own database.
type DB struct {
	url    string
	ahead  atomic.Int64              // nanoseconds that its clock is ahead of the world's
	frozen atomic.Pointer[time.Time] // what it stands at, but for ahead; nil while it runs
}

// Run runs the tests, ends the server if they started one, and returns the code to exit with.
func Run(m *testing.M) int {
	shared.allow()
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "testdb:", err)
		return max(code, 1)
	}
	return code
}

// New returns a database with all migrations applied and a clock that Advance moves. It is dropped
// when the test ends, connections or not.
func New(t testing.TB) *DB {
	t.Helper()
	s := sharedServer(t)
	db := create(t, s, s.template)
	exec(t, db.url, "setting the search path", searchPathSQL+"; "+atHomeSQL)
	return db
}

// Copy returns a copy of the database as a restored backup is one: all rows, in another database. Whoever is
// connected to this one is cut off, and nobody may connect meanwhile.
func (db *DB) Copy(t testing.TB) *DB {
	t.Helper()
	config, err := pgx.ParseConfig(db.url)
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	s := sharedServer(t)
	exec(t, s.host.url, "Copy", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, config.Database)
	restored := create(t, s, config.Database)
	exec(t, restored.url, "setting the search path", searchPathSQL)
	return restored
}

// Empty returns a database as PostgreSQL makes it: no migration, no movable clock.
func Empty(t testing.TB) *DB {
	t.Helper()
	return create(t, sharedServer(t), "")
}

func sharedServer(t testing.TB) *server {
	t.Helper()
	s, err := shared.start()
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	return s
}

func create(t testing.TB, s *server, template string) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	name, err := s.create(ctx, template)
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("testdb: %v", err)
		}
	})
	return &DB{url: databaseURL(s.host.url, name)}
}

// URL is the database's address, for any client of PostgreSQL.
func (db *DB) URL() string { return db.url }

// Exec runs SQL on a connection of its own, past the product's code. Without arguments it may be
// several statements.
func (db *DB) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	exec(t, db.url, "Exec", sql, args...)
}

// Conn returns a connection that is closed at the end of the test.
func (db *DB) Conn(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := connect(t.Context(), db.url)
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, url, what, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := execOn(ctx, url, sql, args...); err != nil {
		t.Fatalf("testdb: %s: %v", what, err)
	}
}

// execOn connects anew each time: a pool's goroutines would show up in tests that count them.
func execOn(ctx context.Context, url, sql string, args ...any) error {
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// databaseURL is the address of another database on the server of base.
func databaseURL(base, name string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // base was used before
	}
	u.Path = "/" + name
	return u.String()
}
