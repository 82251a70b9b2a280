package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

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
				if _, err := r.Refresh(ctx, caller, second.RefreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrUnavailable) {
					t.Errorf("error %v, want ErrUnavailable", err)
				}
			}, func() { c.trouble(t, db, cancel) })
			if err := holder.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			again, err := r.Refresh(t.Context(), caller, first.RefreshToken, auth.ClientCredentials{})
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
	if _, err := r.Refresh(ctx, caller, tokens.RefreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if after := state(t, db); after != before {
		t.Error("a cancelled refresh changed something")
	}
	r.refresh(t, tokens.RefreshToken)
}
