package migrations_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
	"kindred/migrations"
)

// indexesOf lists the trail's indexes, whole ones and the parts of one leaf each, with whether they are good.
func indexesOf(t *testing.T, db *testdb.DB) (valid, invalid []string) {
	t.Helper()
	rows, err := db.Conn(t).Query(t.Context(), `
		SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index
		 WHERE indrelid = 'audit_events'::regclass OR indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_events'::regclass)
		 ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	var definition string
	var good bool
	_, err = pgx.ForEachRow(rows, []any{&definition, &good}, func() error {
		if good {
			valid = append(valid, definition)
		} else {
			invalid = append(invalid, definition)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return valid, invalid
}

// unbuild takes the trail's indexes back to what the migration's own file makes of them.
const unbuild = `
	DROP INDEX audit_events_user, audit_events_family, audit_events_request;
	CREATE INDEX audit_events_user ON ONLY audit_events (user_id, at, id) WHERE user_id IS NOT NULL;
	CREATE INDEX audit_events_family ON ONLY audit_events (family_id, at, id) WHERE family_id IS NOT NULL;
	CREATE INDEX audit_events_request ON ONLY audit_events (request_id, at, id) WHERE request_id <> '';`

const insertEvent = `INSERT INTO audit_events (id, at, kind, user_id, family_id, request_id)
	SELECT gen_random_uuid(), clock_timestamp(), 'login_ok', gen_random_uuid(), gen_random_uuid(), 'r' || i FROM generate_series(1, 1000) i`

// However far the run before had come: nothing built, one part invalid, one built but not attached, a leaf
// that was made in between.
func TestUp_BuildsTheIndexesThatAnInterruptedRunLeft(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, insertEvent)
	want, invalid := indexesOf(t, db)
	if len(invalid) > 0 {
		t.Fatalf("not good after the migrations: %q", invalid)
	}
	var leaf string
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT tableoid::regclass FROM audit_events LIMIT 1`).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	for name, left := range map[string]string{
		"nothing":           ``,
		"built, unattached": `CREATE INDEX ` + leaf + `_user ON ` + leaf + ` (user_id, at, id) WHERE user_id IS NOT NULL`,
		"invalid": `CREATE INDEX ` + leaf + `_family ON ` + leaf + ` (family_id, at, id) WHERE family_id IS NOT NULL;
			UPDATE pg_index SET indisvalid = false WHERE indexrelid = '` + leaf + `_family'::regclass`,
		"some attached": `CREATE INDEX ` + leaf + `_request ON ` + leaf + ` (request_id, at, id) WHERE request_id <> '';
			ALTER INDEX audit_events_request ATTACH PARTITION ` + leaf + `_request`,
	} {
		db.Exec(t, unbuild+left)
		if _, invalid := indexesOf(t, db); len(invalid) < 3 {
			t.Fatalf("%s: only %q are not good", name, invalid)
		}
		_, planned, err := migrations.Plan(t.Context(), db.URL())
		if drops := strings.Contains(strings.Join(planned, "\n"), "DROP INDEX CONCURRENTLY"); err != nil || drops != (name == "invalid") {
			t.Errorf("%s: the plan drops something: %v, error %v", name, drops, err)
		}
		for range 2 {
			if err := migrations.Up(t.Context(), db.URL(), func(string) {}, func(string) {}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		got, invalid := indexesOf(t, db)
		if diff := cmp.Diff(want, got); diff != "" || len(invalid) > 0 {
			t.Errorf("%s: not good are %q; others: %s", name, invalid, diff)
		}
	}
	db.Exec(t, unbuild+`SELECT kindred_ensure_partitions('audit_events', current_date + 400, current_date + 400)`)
	if err := migrations.Up(t.Context(), db.URL(), func(string) {}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if got, invalid := indexesOf(t, db); len(invalid) > 0 || len(got) != len(want)+4 {
		t.Errorf("with a new leaf there are %d good indexes, want %d; not good are %q", len(got), len(want)+4, invalid)
	}
}

// Who writes while the indexes are built does not wait for them: they wait for who writes.
func TestUp_BuildsIndexesBesideWriters(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, unbuild)
	writer, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), insertEvent); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- migrations.Up(t.Context(), db.URL(), func(string) {}, func(string) {}) }()
	watch := db.Conn(t)
	for building, deadline := false, time.Now().Add(30*time.Second); !building; {
		err := watch.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX CONCURRENTLY%')`).Scan(&building)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("no index is built; error %v", err)
		}
	}
	db.Exec(t, `SET lock_timeout = '100ms'; `+insertEvent)
	if err := writer.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, invalid := indexesOf(t, db); len(invalid) > 0 {
		t.Errorf("not good: %q", invalid)
	}
}
