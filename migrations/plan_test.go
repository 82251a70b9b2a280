package migrations_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
	"kindred/migrations"
)

// What the plan tells is what PostgreSQL says that a migration holds just before it ends.
func TestPlan_LocksAreThoseThatAreTaken(t *testing.T) {
	t.Parallel()
	const file = "locks.txt"
	lines := []string{"# What each migration locks of tables that stood before it: go test ./migrations -update writes it anew."}
	db := testdb.Empty(t)
	names, err := filepath.Glob("[0-9]*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for _, lock := range takenBy(t, db, name) {
			lines = append(lines, name[:5]+" "+lock)
		}
	}
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("other locks are taken than %s tells:\n%s", file, diff)
	}
}

// takenBy applies one migration and returns what it locked of what stood: "table mode", and " rewrites" where
// the table lies in another file afterwards.
func takenBy(t *testing.T, db *testdb.DB, name string) (list []string) {
	t.Helper()
	statements, inTransaction := migrations.UpSQL(name)
	before := filesOfTables(t, db)
	taken := map[string]int{}
	if inTransaction {
		conn := db.Conn(t)
		for _, statement := range []string{`BEGIN`, statements} {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		noteLocks(t, conn, conn.PgConn().PID(), taken)
		if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
			t.Fatal(err)
		}
	} else {
		withoutComments := regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(statements, "")
		for statement := range strings.SplitSeq(strings.TrimSpace(withoutComments), ";") {
			if strings.TrimSpace(statement) != "" {
				besideWriters(t, db, statement, taken)
			}
		}
	}
	after := filesOfTables(t, db)
	for _, table := range slices.Sorted(maps.Keys(taken)) {
		if _, stood := before[table]; !stood {
			continue
		}
		line := table + " " + lockModes()[taken[table]]
		if before[table] != after[table] {
			line += " rewrites"
		}
		list = append(list, line)
	}
	return list
}

// besideWriters runs a statement while a transaction writes all tables, for which CONCURRENTLY waits.
func besideWriters(t *testing.T, db *testdb.DB, statement string, taken map[string]int) {
	t.Helper()
	writer, runner, watch := db.Conn(t), db.Conn(t), db.Conn(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`BEGIN`)
	for table := range filesOfTables(t, db) {
		exec(`LOCK TABLE ` + table + ` IN ROW EXCLUSIVE MODE`)
	}
	done := make(chan error, 1)
	go func() {
		_, err := runner.Exec(context.WithoutCancel(t.Context()), statement)
		done <- err
	}()
	for waiting, deadline := false, time.Now().Add(30*time.Second); !waiting && len(done) == 0; {
		err := watch.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)`, int64(runner.PgConn().PID())).Scan(&waiting)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%s: neither waits nor ends; error %v", statement, err)
		}
	}
	noteLocks(t, watch, runner.PgConn().PID(), taken)
	exec(`COMMIT`)
	if err := <-done; err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// lockModes are those that reads and writes do not take, the weakest first.
func lockModes() []string {
	return []string{"", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"}
}

// noteLocks keeps the strongest lock of each table; that of a partition counts as its table's.
func noteLocks(t *testing.T, conn *pgx.Conn, pid uint32, taken map[string]int) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT root.relname::text, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		  JOIN pg_class root ON root.oid = coalesce(pg_partition_root(c.oid), c.oid)
		 WHERE l.pid = $1 AND l.locktype = 'relation' AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace`, int64(pid))
	if err != nil {
		t.Fatal(err)
	}
	var table, mode string
	if _, err := pgx.ForEachRow(rows, []any{&table, &mode}, func() error {
		for rank, name := range lockModes() {
			if name != "" && mode == strings.NewReplacer("UPDATE", "Update", "SHARE", "Share", "ROW", "Row", "EXCLUSIVE", "Exclusive", "ACCESS", "Access", " ", "").Replace(name)+"Lock" {
				taken[table] = max(taken[table], rank)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func filesOfTables(t *testing.T, db *testdb.DB) map[string]uint32 {
	t.Helper()
	rows, err := db.Conn(t).Query(t.Context(), `
		SELECT relname::text, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]uint32{}
	var table string
	var node uint32
	if _, err := pgx.ForEachRow(rows, []any{&table, &node}, func() error { list[table] = node; return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPlan_TellsOfTablesThatStandOnly(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	pending, builds, err := migrations.Plan(t.Context(), db.URL())
	if err != nil || len(pending) != countFiles(t) || len(builds) > 0 {
		t.Fatalf("%d pending, builds %q, error %v", len(pending), builds, err)
	}
	for _, p := range pending {
		if len(p.Locks) > 0 || p.SQL == "" {
			t.Errorf("%s on an empty database locks %v", p.Name, p.Locks)
		}
	}
	if err := migrations.UpTo(t.Context(), db.URL(), 9); err != nil {
		t.Fatal(err)
	}
	if pending, _, err = migrations.Plan(t.Context(), db.URL()); err != nil {
		t.Fatal(err)
	}
	want := map[int64]string{10: "true [{audit_events ACCESS EXCLUSIVE false} {token_families ACCESS EXCLUSIVE false}]",
		11: "false [{token_families SHARE UPDATE EXCLUSIVE false} {users SHARE UPDATE EXCLUSIVE false}]"}
	for _, p := range pending[:2] {
		if got := fmt.Sprint(p.InTransaction, " ", p.Locks); got != want[p.Version] {
			t.Errorf("%s: %s, want %s", p.Name, got, want[p.Version])
		}
	}
	if l := pending[0].Locks[0]; !l.BlocksReaders() || !l.BlocksWriters() || l.Long() {
		t.Errorf("%v blocks nobody, or for long", l)
	}
	if l := pending[1].Locks[0]; l.BlocksReaders() || l.BlocksWriters() {
		t.Errorf("%v blocks somebody", l)
	}
	if err := migrations.UpTo(t.Context(), db.URL(), migrations.Latest()); err != nil { // cut off before the indexes
		t.Fatal(err)
	}
	pending, builds, err = migrations.Plan(t.Context(), db.URL())
	if err != nil || len(pending) > 0 || len(builds) == 0 || !strings.HasPrefix(builds[0], "CREATE INDEX CONCURRENTLY") {
		t.Errorf("%d pending, builds %q, error %v", len(pending), builds, err)
	}
}

// The next file is held to it; those that landed were read once.
func TestFiles_WaitForALockForFiveSecondsAtMost(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("[0-9]*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		concurrently := strings.HasPrefix(string(text), "-- +goose NO TRANSACTION") // which waits without holding anybody up
		bounds := regexp.MustCompile(`(?m)^SET LOCAL lock_timeout = '[1-5]s';$`).FindAllString(string(text), -1)
		if !concurrently && len(bounds) != 2 {
			t.Errorf("%s bounds %d of its two ways", name, len(bounds))
		}
		if concurrently && regexp.MustCompile(`(?m)^(CREATE|DROP) INDEX [^C]|^ALTER`).Match(text) {
			t.Errorf("%s holds somebody up without a bound", name)
		}
	}
}
