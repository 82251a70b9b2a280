package store_test

import (
	"strings"
	"testing"
	"time"

	"kindred/internal/account"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// Whatever an attacker has left in the table, and however many users there are, a guess reads its own rows.
func TestReserve_PlanUsesIndexes(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `
		INSERT INTO throttle (key, scope) SELECT sha256(n::text::bytea), 'name' FROM generate_series(1, 20000) AS n;
		INSERT INTO users (id, username, username_key, password_hash, role, created_at, password_changed_at)
		SELECT gen_random_uuid(), 'user' || n, 'user' || n, '$hash$', 'user', now(), now() FROM generate_series(1, 20000) AS n;
		ANALYZE`)
	plan := explainStatement(t, db, "force_generic_plan",
		`reserve (bytea[], int[], interval[], interval[], int[], interval[], interval[], text, uuid, interval, interval) AS `+store.ReserveStatement,
		`ARRAY['\x00']::bytea[], ARRAY[5], ARRAY['1s']::interval[], ARRAY['15min']::interval[], ARRAY[100], ARRAY['0']::interval[], ARRAY['0']::interval[], 'user1', NULL, '400 days', '1min'`)
	if seq := plan.find("Seq Scan"); len(seq) > 0 {
		t.Errorf("whole tables are read: %v", seq)
	}
	if found := strings.Join(plan.find("Index Scan"), ", "); !strings.Contains(found, "users_username_key_among_the_living") || !strings.Contains(found, "throttle_pkey") {
		t.Errorf("indexes used: %s", found)
	}
}

// Each guess writes the rows of its network and of all: were these no HOT updates, the index would grow with
// every guess. A page that is full at the beginning is left once.
func TestReserve_UpdatesAreHOT(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	charges := []store.Charge{streakOf("ana"), bucketOf("overall", account.Bucket{Burst: 1000, PerMinute: 1000})}
	for range 100 {
		reservation, err := st.Reserve(t.Context(), store.Guessed{}, charges)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Settle(t.Context(), reservation, true); err != nil {
			t.Fatal(err)
		}
	}
	st.Close() // sessions report what they did when they end
	conn := db.Conn(t)
	var size, updates, hot int64
	for deadline := time.Now().Add(30 * time.Second); updates < 400 && time.Now().Before(deadline); {
		if err := conn.QueryRow(t.Context(), `SELECT pg_relation_size('throttle_pkey'), n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'throttle'`).Scan(&size, &updates, &hot); err != nil {
			t.Fatal(err)
		}
	}
	if updates < 400 || hot < updates*95/100 || size > 2*8192 {
		t.Errorf("of %d updates %d were HOT, the index has %d bytes", updates, hot, size)
	}
}
