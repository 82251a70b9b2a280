package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kindred/internal/audit"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

func appendEvents(t testing.TB, st *store.Store, events ...audit.Event) {
	t.Helper()
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		for _, e := range events {
			if err := tx.Append(ctx, &e); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestEvents_EachPageFollowsTheOneBefore(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	db.Freeze(t, db.Now().UTC().Truncate(1e6)) // all at one instant: the id decides
	var list []audit.Event
	for i := range 25 {
		list = append(list, audit.Event{Kind: audit.LoginOK, RequestID: fmt.Sprint(i)})
	}
	appendEvents(t, st, list...)
	for _, oldest := range []bool{false, true} {
		seen := map[string]bool{}
		var q store.EventQuery
		for q.Oldest, q.Limit = oldest, 10; ; {
			page, err := st.Events(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if seen[e.RequestID] {
					t.Errorf("event %s is on two pages", e.RequestID)
				}
				seen[e.RequestID] = true
			}
			if len(page) < q.Limit {
				break
			}
			last := store.EventPlace{At: page[len(page)-1].At, ID: page[len(page)-1].ID}
			if oldest {
				q.Newer = last
			} else {
				q.Older = last
			}
		}
		if len(seen) != 25 {
			t.Errorf("%d events on all pages, want 25", len(seen))
		}
	}
}

func TestAuditEvents_AreNeverChanged(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	appendEvents(t, st, audit.Event{Kind: audit.LoginOK})
	// Partitions too that are made later.
	db.Exec(t, `SELECT kindred_ensure_partitions('audit_events', (clock_timestamp() + interval '20 weeks')::date, (clock_timestamp() + interval '20 weeks')::date)`)
	db.Exec(t, `INSERT INTO audit_events (id, at, kind, actor) VALUES (gen_random_uuid(), clock_timestamp() + interval '20 weeks', 'login_ok', 'later')`)
	for _, statement := range []string{
		`UPDATE audit_events SET actor = 'nobody'`, `DELETE FROM audit_events`, `TRUNCATE audit_events`,
		`UPDATE audit_events SET actor = 'nobody' WHERE actor = 'later'`, `DELETE FROM audit_events WHERE actor = 'later'`,
	} {
		if _, err := db.Conn(t).Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "never changed") {
			t.Errorf("%s: error %v", statement, err)
		}
	}
	if list, err := st.Events(t.Context(), store.EventQuery{Limit: 10}); err != nil || len(list) != 2 || list[0].Actor != "later" || list[1].Actor != "" {
		t.Errorf("events %+v, error %v", list, err)
	}
	// A partition goes as a whole.
	var leaf string
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT tableoid::regclass FROM audit_events WHERE actor = 'later'`).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `DROP TABLE `+leaf)
}

// However long the trail is: what asks for one user, session or request reads that index, in partitions too
// that were made after it.
func TestEvents_OfOneUserFamilyOrRequestAreFoundByIndex(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)

	db.Exec(t, `
		INSERT INTO audit_events (id, at, kind, user_id, family_id, request_id)
		SELECT gen_random_uuid(), clock_timestamp() + i * interval '120 s', 'login_ok', gen_random_uuid(), gen_random_uuid(), 'request ' || i
		  FROM generate_series(1, 40000) i`)
	db.Exec(t, `ANALYZE audit_events`)
	id := "'" + uuid.NewString() + "'"
	for name, wanted := range map[string]string{"user": id + ", NULL, NULL, ''", "family": "NULL, " + id + ", NULL, ''", "request": "NULL, NULL, NULL, 'request 7'"} {
		for _, statement := range []string{store.NewestEvents, store.OldestEvents} {
			plan := explainStatement(t, db, "force_custom_plan", `events AS `+statement, wanted+", NULL, NULL, NULL, NULL, NULL, NULL, 10")
			if seq := plan.find("Seq Scan"); len(seq) > 0 {
				t.Errorf("%s: whole tables are read: %v", name, seq)
			}
		}
	}
}
