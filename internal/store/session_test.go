package store_test

import (
	"context"
	"testing"
	"time"

	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// What a session may do to others is bounded, and below the request's deadline.
func TestOpen_SessionsAreBounded(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	for name, c := range map[string]struct {
		request time.Duration
		want    map[string]string
	}{
		"the default": {5 * time.Second, map[string]string{
			"lock_timeout": "500ms", "statement_timeout": "4500ms", "idle_in_transaction_session_timeout": "10s",
			"client_connection_check_interval": "250ms", "plan_cache_mode": "force_generic_plan",
			"default_transaction_isolation": "read committed", "TimeZone": "UTC",
		}},
		"a short deadline": {200 * time.Millisecond, map[string]string{
			"lock_timeout": "100ms", "statement_timeout": "180ms", "idle_in_transaction_session_timeout": "400ms",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: c.request, MaxLifetime: lifetime})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(st.Close)
			for setting, want := range c.want {
				if got, err := st.Show(t.Context(), setting); err != nil || got != want {
					t.Errorf("%s is %q, error %v, want %q", setting, got, err, want)
				}
			}
		})
	}
}

// The lock order rests on it that a later statement sees what an earlier one waited for.
func TestInTx_SeesWhatOthersCommittedWhateverTheDatabasesDefault(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), 'repeatable read'); END $$`)
	st := open(t, db, nil)
	_, f, _ := login(t, st)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Now(ctx); err != nil {
			return err
		}
		db.Exec(t, `UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = 'logout', revoked_by = ''`)
		locked, err := tx.LockFamily(ctx, f.ID)
		if err == nil && locked.RevokedReason != family.ReasonLogout {
			t.Error("the transaction does not see what was committed after it began")
		}
		return err
	})
}
