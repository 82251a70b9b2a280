package migrations_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
	"kindred/migrations"
)

var update = flag.Bool("update", false, "write testdata/schema.sql anew")

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

const snapshotFile = "../testdata/schema.sql"

func TestMigrations_UpDownUpGivesTheSnapshot(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	quiet := func(string) {}
	if err := migrations.Up(t.Context(), db.URL(), quiet, quiet); err != nil {
		t.Fatal(err)
	}
	first := schema(t, db)
	if *update {
		if err := os.WriteFile(snapshotFile, []byte(first), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(snapshotFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), first); diff != "" {
		t.Errorf("the schema differs from testdata/schema.sql (go test ./migrations -update writes it anew):\n%s", diff)
	}
	for range countFiles(t) {
		if err := migrations.Down(t.Context(), db.URL(), quiet); err != nil {
			t.Fatal(err)
		}
	}
	if left := schema(t, db); left != "" {
		t.Errorf("left after all the way down:\n%s", left)
	}
	if err := migrations.Up(t.Context(), db.URL(), quiet, quiet); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, schema(t, db)); diff != "" {
		t.Errorf("down and up again gives another schema:\n%s", diff)
	}
}

func TestUp_OfManyRunnersOneApplies(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	var mu sync.Mutex
	var applied []string
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			err := migrations.Up(t.Context(), db.URL(), func(line string) {
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, line)
			}, func(string) {})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all := countFiles(t); len(applied) != all {
		t.Errorf("applied %q, want each of %d migrations once", applied, all)
	}
}

func TestStatus_TellsWhatIsPending(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	count := func() (applied, pending int) {
		list, err := migrations.Status(t.Context(), db.URL())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.Applied {
				applied++
			} else {
				pending++
			}
		}
		return applied, pending
	}
	all := countFiles(t)
	if applied, pending := count(); applied != 0 || pending != all {
		t.Errorf("before: %d applied, %d pending", applied, pending)
	}
	if err := migrations.Up(t.Context(), db.URL(), func(string) {}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if applied, pending := count(); applied != all || pending != 0 {
		t.Errorf("after: %d applied, %d pending", applied, pending)
	}
}

// countFiles counts the migrations, whose numbers may leave some out.
func countFiles(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("[0-9]*.sql")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// A table that stands may be large, and a plain CREATE INDEX keeps its writers out until it is done.
func TestFiles_BuildIndexesOfOlderTablesBesideTheWriters(t *testing.T) {
	t.Parallel()
	const before = "00009" // these have landed
	names, err := filepath.Glob("[0-9]*.sql")
	if err != nil {
		t.Fatal(err)
	}
	built := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range regexp.MustCompile(`CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?\w+ ON (ONLY )?(\w+)`).FindAllStringSubmatch(string(text), -1) {
			built++
			if index[1]+index[2] == "" && name > before && !strings.Contains(string(text), "CREATE TABLE "+index[3]+" (") {
				t.Errorf("%s: %s holds up the writers of %s", name, index[0], index[3])
			}
		}
	}
	if built < 10 {
		t.Errorf("found %d indexes", built)
	}
}

// A run that was cut off leaves an index of that name that is of no use; here one of another column is.
func TestUp_BuildsAnIndexAnewThatWasLeftHalfBuilt(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	if err := migrations.UpTo(t.Context(), db.URL(), 10); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `CREATE INDEX users_by_name_among_the_living ON users (role)`)
	db.Exec(t, `CREATE INDEX token_families_expires_on ON token_families (client_id)`)
	db.Exec(t, `CREATE INDEX token_families_live_of_a_user ON token_families (client_id)`)
	if err := migrations.Up(t.Context(), db.URL(), func(string) {}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(snapshotFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), schema(t, db)); diff != "" {
		t.Errorf("the schema differs:\n%s", diff)
	}
}

func TestUp_ErrorHoldsNoPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:s3cret@127.0.0.1:1/x", "postgres://u:s3cret@127.0.0.1:port/x", "host=127.0.0.1 port=1 password=s3cret x"} {
		err := migrations.Up(t.Context(), url, func(string) {}, func(string) {})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v", err)
		}
	}
}

// schema describes all that the migrations made, in an order and a form that do not depend on the
// version of PostgreSQL or on the day: leaves of partitioned tables are left out, and so is goose's.
func schema(t *testing.T, db *testdb.DB) string {
	t.Helper()
	const statement = `
		WITH tables AS (
		    SELECT c.oid, c.relname, c.relkind, c.reloptions FROM pg_class c
		     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
		       AND NOT c.relispartition AND c.relname NOT LIKE 'goose%'
		), lines AS (
		    SELECT relname AS object, 1 AS part, 0 AS position,
		           format('TABLE %s%s%s', relname, CASE relkind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(oid) ELSE '' END,
		                  coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '')) AS line FROM tables
		    UNION ALL
		    SELECT relname, 2, attnum, format('    %s %s%s%s', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END,
		           coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), ''))
		      FROM tables JOIN pg_attribute a ON attrelid = tables.oid AND attnum > 0 AND NOT attisdropped
		      LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
		    UNION ALL
		    SELECT relname, 3, row_number() OVER (ORDER BY conname), format('    CONSTRAINT %s %s', conname, pg_get_constraintdef(k.oid))
		      FROM tables JOIN pg_constraint k ON conrelid = tables.oid AND contype <> 'n'
		    UNION ALL
		    SELECT relname, 4, row_number() OVER (ORDER BY i.indexrelid::regclass::text), '    ' || pg_get_indexdef(i.indexrelid)
		      FROM tables JOIN pg_index i ON indrelid = tables.oid
		     WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = tables.oid)
		    UNION ALL
		    SELECT relname, 5, row_number() OVER (ORDER BY tgname), '    ' || pg_get_triggerdef(g.oid)
		      FROM tables JOIN pg_trigger g ON tgrelid = tables.oid AND NOT tgisinternal
		    UNION ALL
		    SELECT 'function ' || proname, 6, 0, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		)
		SELECT line FROM lines ORDER BY object COLLATE "C", part, position`
	rows, err := db.Conn(t).Query(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
