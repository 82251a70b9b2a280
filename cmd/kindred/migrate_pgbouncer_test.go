//go:build pgbouncer

package main

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
	"kindred/migrations"
)

// Through a pooler the lock holds, and nothing of the runners stays with the sessions.
func TestPgBouncer_OfTwoMigrationRunnersOneApplies(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	through := pooled(t, db)
	var printed [2]string
	var runners sync.WaitGroup
	for i := range printed {
		runners.Go(func() {
			stdout, stderr, code := run(t, "", []string{"DATABASE_URL=" + through, "DATABASE_POOLER=transaction"}, "migrate", "up")
			if printed[i] = stdout; code != 0 {
				t.Errorf("runner %d: %s", i, stderr)
			}
		})
	}
	runners.Wait()
	list, err := migrations.Status(t.Context(), db.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if n := strings.Count(printed[0]+printed[1], m.Name); n != 1 || !m.Applied {
			t.Errorf("%s was applied %d times", m.Name, n)
		}
	}
	for range poolSize {
		conn, err := pgx.Connect(t.Context(), through)
		if err != nil {
			t.Fatal(err)
		}
		var left string
		err = conn.QueryRow(t.Context(), `
			SELECT coalesce(string_agg(name || ' ' || setting, ', '), '') FROM pg_settings
			 WHERE name IN ('lock_timeout', 'statement_timeout') AND setting <> '0'`, pgx.QueryExecModeSimpleProtocol).Scan(&left)
		if err != nil || left != "" {
			t.Errorf("left in a session: %q, error %v", left, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	var held int
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&held); err != nil || held > 0 {
		t.Errorf("%d advisory locks are left, error %v", held, err)
	}
}
