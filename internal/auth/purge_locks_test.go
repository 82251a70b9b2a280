package auth_test

import (
	"slices"
	"strings"
	"testing"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// dead makes n families whose expiry is long past, like those of a user's.
func dead(t testing.TB, db *testdb.DB, n int) {
	t.Helper()
	db.Exec(t, `
		INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id, current_hash,
		       rotated_at, idle_expires_at, access_until)
		SELECT gen_random_uuid(), u.id, 'kindred', t.at, t.at, t.at, (t.at AT TIME ZONE 'UTC')::date, gen_random_uuid(), sha256(''), t.at, t.at, t.at
		  FROM users u, generate_series(1, $1::int), (SELECT clock_timestamp() - interval '30 days' AS at) t`, n)
}

// The first day of last week, whose partition is past and has to be made.
const monday = `(date_trunc('week', clock_timestamp() AT TIME ZONE 'UTC')::date - 7)`

func TestPurge_OneAtATime(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, keepingEvents(10*week))
	r.addUser(t, "ana")
	dead(t, db, 3)
	other, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('kindred purge', 0))`); err != nil {
		t.Fatal(err)
	}
	if purged := r.purge(t); purged.Families != 0 || !purged.Busy {
		t.Errorf("purged %+v while another purge was under way", purged)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if purged := r.purge(t); purged.Families != 3 || purged.Busy {
		t.Errorf("purged %+v after the other had ended", purged)
	}
}

// withAPastWeek is a replica with a session, on a database with a partition that can be dropped.
func withAPastWeek(t testing.TB) (r replica, db *testdb.DB, refreshToken string) {
	t.Helper()
	db = testdb.New(t)
	r = newReplica(t, db)
	r.addUser(t, "ana")
	refreshToken = r.login(t, "ana").RefreshToken
	db.Exec(t, `SELECT kindred_make_weeks('refresh_tokens', `+monday+`, `+monday+`)`)
	return r, db, refreshToken
}

// Whoever reads of the past for long, as a dump does, puts the drop off and holds up no refresh: what is waited
// for is the past partition, and the table only when that is free.
func TestPurge_WhoReadsThePastHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	r, db, token := withAPastWeek(t)
	db.Exec(t, `ALTER FUNCTION kindred_drop_past_week(regclass, date) SET lock_timeout = '20s'`) // to look at it while it waits
	reader, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `SELECT count(*) FROM refresh_tokens`); err != nil {
		t.Fatal(err)
	}
	purge := db.Conn(t)
	whileBlocked(t, db, func() {
		var dropped string
		err := purge.QueryRow(t.Context(), `SELECT kindred_drop_past_partition('refresh_tokens', (clock_timestamp() AT TIME ZONE 'UTC')::date - 1)`).Scan(&dropped)
		if err != nil || !strings.HasPrefix(dropped, "refresh_tokens_p") {
			t.Errorf("dropped %q, error %v", dropped, err)
		}
	}, func() {
		if _, err := r.Refresh(t.Context(), caller, token, auth.ClientCredentials{}); err != nil {
			t.Errorf("refresh while a purge waits: %v", err)
		}
		if err := reader.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A process that drops a partition and is then stopped, or out of reach, must not hold the table: COMMIT never
// comes, and nobody tells the server that the other side is gone.
func TestPurge_WhoStallsBeforeCommitHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r, db, token := withAPastWeek(t)
	stalled, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var dropped string
	err = stalled.QueryRow(t.Context(), `SELECT kindred_drop_past_partition('refresh_tokens', (clock_timestamp() AT TIME ZONE 'UTC')::date - 1)`).Scan(&dropped)
	if err != nil || dropped == "" {
		t.Fatalf("dropped %q, error %v", dropped, err)
	}
	const attempts = 20 // each waits half a second for the lock
	for range attempts {
		if _, err = r.Refresh(t.Context(), caller, token, auth.ClientCredentials{}); err == nil {
			return
		}
	}
	t.Errorf("refresh while a purge stalls: %v", err)
}

// Names of tables say nothing of what lies in them, nor do a session's settings change it.
func TestPurge_BoundsSayWhatIsPast(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `CREATE TABLE audit_events_p20200106 (LIKE audit_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`)
	db.Exec(t, `CREATE TABLE audit_events_p99999999 (LIKE audit_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`)
	db.Exec(t, `ALTER TABLE audit_events ATTACH PARTITION audit_events_p20200106 FOR VALUES FROM ('2090-01-02 00:00+00') TO (MAXVALUE)`)
	db.Exec(t, `ALTER TABLE audit_events ATTACH PARTITION audit_events_p99999999 FOR VALUES FROM ('2019-01-01 00:00+00') TO ('2019-04-03 00:00+00')`)
	conn := db.Conn(t)
	if _, err := conn.Exec(t.Context(), `SET timezone = 'Pacific/Kiritimati'; SET datestyle = 'SQL, DMY'`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ before, want string }{
		{"2019-04-02", ""},
		{"2019-04-03", "audit_events_p99999999"},
		{"2026-01-01", ""},
	} {
		var dropped *string
		err := conn.QueryRow(t.Context(), `SELECT kindred_drop_past_partition('audit_events', $1::text::date)`, c.before).Scan(&dropped)
		if err != nil || (dropped == nil) != (c.want == "") || dropped != nil && *dropped != c.want {
			t.Errorf("before %s: dropped %v, error %v; want %q", c.before, dropped, err, c.want)
		}
	}
}

// An operator wants to read that there was a purge and how much it took, and not a thousand rows of it.
func TestPurge_ManyFamiliesAreOneRowOfTheTrail(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, keepingEvents(10*week))
	r.addUser(t, "ana")
	dead(t, db, 2500)
	if purged := r.purge(t); purged.Families != 2500 {
		t.Errorf("purged %+v", purged)
	}
	if n := one[int](t, db, `SELECT count(*)::int FROM audit_events WHERE kind = 'purged' AND detail = '{"families": 2500}'`); n != 1 {
		t.Errorf("%d rows of 2,500 families are in the trail: %v", n, events(t, db))
	}
}

// The process dies at the second of three batches, before the statement arrives or after it was answered: the
// batch is undone, what was deleted is in the trail, and the next purge goes on.
func TestPurge_GoesOnWhereOneDied(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"before the statement": false, "after its answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			proxy := testdb.NewProxy(t, db)
			dying, r := newReplicaAt(t, db, proxy.URL(), keepingEvents(10*week)), newReplica(t, db, keepingEvents(10*week))
			r.addUser(t, "ana")
			dead(t, db, 2500)
			const preparing = 1
			struck := proxy.Set(testdb.Fault{Statement: "DELETE FROM token_families", Nth: preparing + 1, Answered: answered, Cut: true})
			if purged, err := dying.Purge(t.Context(), cron); err == nil || purged.Families != 1000 {
				t.Errorf("purged %+v, error %v; want one batch, and an error", purged, err)
			}
			if struck() == "" {
				t.Error("nothing was cut off")
			}
			if kinds := events(t, db); !slices.Contains(kinds, "purged") {
				t.Errorf("families were deleted, and the trail has %v", kinds)
			}
			purged := r.purge(t)
			for purged.Busy { // until the server has noticed
				purged = r.purge(t)
			}
			if purged.Families != 1500 {
				t.Errorf("purged %+v, want the rest", purged)
			}
		})
	}
}

// The time limits of a request's statements are none for a purge: a batch that takes longer would be cut off
// each time, and nothing would ever be deleted.
func TestPurge_MayTakeLongerThanARequest(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, keepingEvents(10*week))
	r.addUser(t, "ana")
	dead(t, db, 1)
	db.Exec(t, `
		CREATE TABLE limits (statement interval, request interval);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
		    INSERT INTO limits SELECT current_setting('statement_timeout')::interval, reset_val::int * interval '1 ms' FROM pg_settings WHERE name = 'statement_timeout';
		    RETURN OLD;
		END $$;
		CREATE TRIGGER note BEFORE DELETE ON token_families FOR EACH ROW EXECUTE FUNCTION note()`)
	r.purge(t)
	if longer := one[bool](t, db, `SELECT statement > 10 * request FROM limits`); !longer {
		t.Error("the statement that deletes may take no longer than a request's")
	}
}
