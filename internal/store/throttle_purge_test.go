package store_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"kindred/internal/account"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

func TestPurgeThrottle_KeepsWhatStillCounts(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	charge := func(c store.Charge) store.Reservation {
		t.Helper()
		reservation, err := st.Reserve(t.Context(), store.Guessed{}, []store.Charge{c})
		if err != nil {
			t.Fatal(err)
		}
		return reservation
	}
	charge(streakOf("guessed"))
	charge(bucketOf("here", testNetwork))
	locks := streakOf("locked")
	locks.Streak = account.Streak{Free: 1, Limit: 1}
	charge(locks)
	if err := st.Settle(t.Context(), charge(streakOf("right")), true); err != nil {
		t.Fatal(err)
	}
	conn := db.Conn(t)
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{0, []string{"guessed", "here", "locked"}},
		{2 * time.Minute, []string{"guessed", "locked"}},
		{account.ForgottenAfter - 3*time.Minute, []string{"guessed", "locked"}},
		{2 * time.Minute, []string{"locked"}},
		{account.LockedFor, nil},
	} {
		db.Advance(t, step.after)
		if err := st.PurgeThrottle(t.Context(), testNetwork.Span()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, counted(t, conn, "guessed", "here", "locked", "right")); diff != "" {
			t.Errorf("after further %v: %s", step.after, diff)
		}
	}
}

// A row that a guess holds is not waited for: the two lock rows in different orders.
func TestPurgeThrottle_PassesOverWhatAGuessHolds(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	for _, subject := range []string{"free", "held"} {
		if _, err := st.Reserve(t.Context(), store.Guessed{}, []store.Charge{streakOf(subject)}); err != nil {
			t.Fatal(err)
		}
	}
	db.Advance(t, 2*account.ForgottenAfter)
	tx, held := begin(t, db), sha256.Sum256([]byte("held"))
	if _, err := tx.Exec(t.Context(), `SELECT FROM throttle WHERE key = $1 FOR UPDATE`, held[:]); err != nil {
		t.Fatal(err)
	}
	if err := st.PurgeThrottle(t.Context(), 0); err != nil {
		t.Errorf("the purge waited: %v", err)
	}
	if diff := cmp.Diff([]string{"held"}, counted(t, db.Conn(t), "free", "held")); diff != "" {
		t.Error(diff)
	}
	commit(t, tx)
}

// counted tells which of the subjects have a row.
func counted(t testing.TB, conn *pgx.Conn, subjects ...string) (have []string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT key FROM throttle`)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range subjects {
		want := sha256.Sum256([]byte(subject))
		if slices.ContainsFunc(keys, func(key []byte) bool { return [32]byte(key) == want }) {
			have = append(have, subject)
		}
	}
	return have
}
