package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kindred/internal/testdb"
	"kindred/migrations"
)

func TestMigratePlan_TellsWhatWillHappen(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	o := newTerminal(t, db)
	o.want(0, "00001_users.sql: in one transaction\n  nobody who logs in or refreshes waits for it\n", "", "migrate", "plan")
	o.want(0, "00001_users.sql", "", "migrate", "up")
	if list := o.json("", "migrate", "plan"); len(list) != 0 {
		t.Errorf("after it: %v", list)
	}
	o.want(0, "nothing to do", "", "migrate", "plan")
	// As it was before the tenth: the plan rests on what is recorded, and on which tables stand.
	db.Exec(t, `DELETE FROM goose_db_version WHERE version_id >= 10`)
	o.want(0, "  locks token_families in ACCESS EXCLUSIVE mode: readers and writers wait, for a moment\n", "", "migrate", "plan")
	list := o.json("", "migrate", "plan")
	wantMembers(t, list[0], map[string]any{"version": 10, "name": "00010_audit_trail.sql", "transaction": true})
	locks, _ := list[0]["locks"].([]any)
	if len(locks) != 2 {
		t.Fatalf("locks %v", locks)
	}
	wantMembers(t, locks[0].(map[string]any), map[string]any{"table": "audit_events", "blocksReaders": true, "blocksWriters": true, "long": false})
	if sql := fmt.Sprint(list[0]["sql"]); !strings.Contains(sql, "SET LOCAL lock_timeout = '5s';") || strings.Contains(sql, "+goose") || strings.Contains(sql, "DROP COLUMN") {
		t.Errorf("SQL %s", sql)
	}
	wantMembers(t, list[1], map[string]any{"version": 11, "transaction": false})
}

// One that is killed while it migrates leaves its lock behind; it runs out, and the next runner goes on.
func TestMigrate_OfTwoRunnersOneWaitsAlsoForOneThatWasKilled(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	environ := []string{"DATABASE_URL=" + db.URL()}
	// The first is held up in the first migration, by somebody who makes the same table.
	rival, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rival.Exec(t.Context(), `CREATE TABLE users (id int)`); err != nil {
		t.Fatal(err)
	}
	first, second := command(t, environ, "migrate", "up"), command(t, environ, "migrate", "up")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	awaitBlocked(t, db.Conn(t), 1)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	stdout, err := second.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	printed := newOutput(stdout)
	if err := rival.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	var holders int
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT count(*) FROM goose_lock WHERE locked AND lease_expires_at > now()`).Scan(&holders); err != nil || holders != 1 {
		t.Fatalf("%d hold the lock, error %v", holders, err)
	}
	db.Exec(t, `UPDATE goose_lock SET lease_expires_at = lease_expires_at - interval '30 seconds'`)
	printed.await(t, fmt.Sprintf(`%05d_`, migrations.Latest()))
	if err := second.Wait(); err != nil {
		t.Error(err)
	}
}

// A replica of the release before, on a schema that took away what it needs.
func TestServe_NotReadyOnASchemaThatIsTooNew(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	s := startServing(t, serveEnvironment(db.URL()))
	next := migrations.Latest() + 1
	db.Exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)`, next)
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusOK)
	db.Exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION kindred_oldest_binary() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT %d::bigint'`, next))
	a := s.get(t, "/readyz", "")
	wantStatus(t, a, http.StatusServiceUnavailable)
	if !strings.Contains(a.body, "upgrade this replica") {
		t.Errorf("/readyz does not say what helps: %s", a.body)
	}
	newTerminal(t, db).want(0, "upgrade this replica", "", "migrate", "status")
	startServing(t, serveEnvironment(db.URL())).logs.await(t, `"msg":"not ready","reason":"[^"]*(upgrade this replica)`)
}
