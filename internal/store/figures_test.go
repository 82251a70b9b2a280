package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

func TestFigures_EstimateComesFromTheStatisticsAndNotFromTheTable(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	ctx := t.Context()
	if f := figures(t, st); f.Families != nil {
		t.Errorf("%v families before anybody analysed", *f.Families)
	}
	const families = `
		WITH u AS (INSERT INTO users (id, username, username_key, password_hash, role, created_at, password_changed_at)
		           VALUES (gen_random_uuid(), 'ana', 'ana', 'x', 'user', now(), now()) RETURNING id)
		INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id, current_hash,
		                            rotated_at, idle_expires_at, access_until, revoked_at, revoked_reason, revoked_by)
		SELECT gen_random_uuid(), u.id, 'kindred', now(), now(), at, (at AT TIME ZONE 'UTC')::date, gen_random_uuid(), sha256('x'), now(), now(), now(),
		       CASE WHEN n <= 25 THEN now() END, CASE WHEN n <= 25 THEN 'logout' END, CASE WHEN n <= 25 THEN 'x' END
		  FROM u, generate_series(1, 100) AS n, (SELECT now() + interval '1 day' AS at) AS later`
	for _, statement := range []string{families, `ANALYZE token_families`, `DELETE FROM token_families`} {
		if _, err := db.Conn(t).Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if f := figures(t, st); f.Families == nil || *f.Families != 75 {
		t.Errorf("families %v, want the 75 that lived at the ANALYZE", f.Families)
	}
}

func TestFigures_PartitionsAheadBeyondWhatIsNeeded(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	const week = 7 * 24 * time.Hour
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 5 * time.Second, MaxLifetime: 20 * week})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if err := st.EnsurePartitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := figures(t, st)
	for table, ahead := range map[string]time.Duration{"refresh_tokens": f.TokensAhead, "audit_events": f.EventsAhead} {
		if ahead < 8*week || ahead > 9*week+24*time.Hour {
			t.Errorf("%s: %v ahead, want eight weeks", table, ahead)
		}
	}
	if offset := f.ClockOffset; offset < -time.Minute || offset > time.Minute {
		t.Errorf("clock offset %v on one machine", offset)
	}
	db.Advance(t, 10*week)
	if f := figures(t, st); f.EventsAhead >= 0 || f.TokensAhead >= 0 || f.ClockOffset > -9*week {
		t.Errorf("ten weeks later %+v", f)
	}
}

func figures(t *testing.T, st *store.Store) store.Figures {
	t.Helper()
	f, err := st.Figures(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Two begin alone, and those that wait for them share a statement.
func TestRotating_TellsHowManyShareAStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	var mu sync.Mutex
	var shared []int
	rotating := func(together int) {
		mu.Lock()
		defer mu.Unlock()
		shared = append(shared, together)
	}
	st, err := store.Open(store.Config{
		URL: db.URL() + "&lock_timeout=0", RequestTimeout: 20 * time.Second, MaxLifetime: lifetime, Rotating: rotating,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	list := chains(t, st, 7)
	release := held(t, db)
	var requests sync.WaitGroup
	for _, c := range list {
		requests.Go(func() {
			if ok, err := c.rotate(t.Context(), st); !ok || err != nil {
				t.Errorf("rotated %v, error %v", ok, err)
			}
		})
	}
	eventually(t.Context(), func() bool { return st.WaitingRotations() == 5 })
	release()
	requests.Wait()
	if !slices.Equal(shared, []int{1, 1, 5}) {
		t.Errorf("statements of %d rotations", shared)
	}
}
