package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// Server trouble never costs a session: the answer is ErrUnavailable, nothing has changed, and once the
// trouble is over the same token works.
func TestTrouble_NeverCostsASession(t *testing.T) {
	t.Parallel()
	const refuse = `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$; `
	cases := []struct {
		name          string
		begin, end    string // on a connection of their own, in a transaction that lasts as long as the trouble
		inTransaction bool
		fresh         bool // the trouble begins with new sessions only
	}{
		{name: "the child's insert is refused", begin: refuse + `CREATE TRIGGER refuse BEFORE INSERT ON refresh_tokens FOR EACH ROW EXECUTE FUNCTION refuse()`, end: `DROP FUNCTION refuse CASCADE`},
		{name: "COMMIT is refused", begin: refuse + `CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON token_families DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`, end: `DROP FUNCTION refuse CASCADE`},
		{name: "the family's row is held", begin: `SELECT FROM token_families FOR UPDATE`, inTransaction: true},
		{name: "the table is locked", begin: `LOCK TABLE token_families IN ACCESS EXCLUSIVE MODE`, inTransaction: true},
		{name: "the tokens are locked", begin: `LOCK TABLE refresh_tokens IN ACCESS EXCLUSIVE MODE`, inTransaction: true},
		{name: "the database is read-only", begin: `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`,
			end: `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`, fresh: true},
		{name: "the schema is gone", begin: `ALTER TABLE token_families RENAME TO elsewhere`, end: `ALTER TABLE elsewhere RENAME TO token_families`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			tokens := r.refresh(t, r.login(t, "ana").RefreshToken)
			before := state(t, db)

			conn := db.Conn(t)
			run := func(statement string) {
				t.Helper()
				if _, err := conn.Exec(t.Context(), statement); err != nil && statement != "" {
					t.Fatal(err)
				}
			}
			if c.inTransaction {
				run("BEGIN")
				c.end = "ROLLBACK"
			}
			run(c.begin)
			troubled := r
			if c.fresh {
				run(`SET default_transaction_read_only = off`)
				troubled = newReplica(t, db)
			}
			for range 2 {
				request, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := troubled.Refresh(request, caller, tokens.RefreshToken, ""); !errors.Is(err, auth.ErrUnavailable) {
					t.Errorf("refresh: error %v, want ErrUnavailable", err)
				}
			}
			run(c.end)
			if c.fresh {
				troubled = newReplica(t, db)
			}
			if after := state(t, db); after != before {
				t.Error("the trouble left something behind")
			}
			next := troubled.refresh(t, tokens.RefreshToken)
			troubled.wantSignedIn(t, next)
			r.wantInvariants(t)
		})
	}
}

func TestTrouble_PoolExhausted(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	holder, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT FROM users FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	for range 16 { // all connections wait for the user's row
		go func() {
			_, _ = r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
			done <- struct{}{}
		}()
	}
	watch := db.Conn(t)
	for blocked := 0; blocked < 16; {
		err := watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Refresh(ctx, caller, tokens.RefreshToken, ""); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 16 {
		<-done
	}
	r.refresh(t, tokens.RefreshToken)
}

// A COMMIT's answer may have been lost when the connection broke; the client presents its old token
// when the trouble is over, long after the interval. That is no theft. Trouble that anybody can make,
// by hanging up, must not have that effect.
func TestTrouble_IntervalStartsAnewWithTheRecovery(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		limit    time.Duration // of the troubled request
		trouble  func(t *testing.T, db *testdb.DB, cancel func())
		replayed bool
	}{
		"the server ended the connection": {time.Minute, func(t *testing.T, db *testdb.DB, _ func()) {
			db.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`)
		}, true},
		"the client hung up":             {time.Minute, func(_ *testing.T, _ *testdb.DB, cancel func()) { cancel() }, false},
		"the wait outlasted the request": {time.Second, func(*testing.T, *testdb.DB, func()) {}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			first := r.login(t, "ana")
			second := r.refresh(t, first.RefreshToken)
			db.Advance(t, 30*time.Minute)

			holder, err := db.Conn(t).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := holder.Exec(t.Context(), `SELECT FROM token_families FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			defer cancel()
			whileBlocked(t, db, func() {
				if _, err := r.Refresh(ctx, caller, second.RefreshToken, ""); !errors.Is(err, auth.ErrUnavailable) {
					t.Errorf("error %v, want ErrUnavailable", err)
				}
			}, func() { c.trouble(t, db, cancel) })
			if err := holder.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			again, err := r.Refresh(t.Context(), caller, first.RefreshToken, "")
			if c.replayed && (err != nil || again.RefreshToken != second.RefreshToken) {
				t.Errorf("after the recovery: error %v, want the same child", err)
			}
			if !c.replayed && !errors.Is(err, auth.ErrInvalidRefreshToken) {
				t.Errorf("after no trouble of the database's: error %v, want ErrInvalidRefreshToken", err)
			}
		})
	}
}

func TestCancelledRefresh_LeavesTheTokenGood(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := state(t, db)
	if _, err := r.Refresh(ctx, caller, tokens.RefreshToken, ""); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if after := state(t, db); after != before {
		t.Error("a cancelled refresh changed something")
	}
	r.refresh(t, tokens.RefreshToken)
}
