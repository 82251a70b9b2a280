package testdb_test

import (
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
	"kindred/migrations"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

func query[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestNew_IsMigratedAndOneTestsOwn(t *testing.T) {
	t.Parallel()
	mine, other := testdb.New(t), testdb.New(t)
	list, err := migrations.Status(t.Context(), mine.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if !m.Applied {
			t.Errorf("migration %s is missing", m.Name)
		}
	}
	mine.Exec(t, "CREATE TABLE mine (n int); INSERT INTO mine VALUES (1)")
	mine.Exec(t, "INSERT INTO mine VALUES ($1)", 2)
	if n := query[int](t, mine.Conn(t), "SELECT count(*) FROM public.mine"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	if query[bool](t, other.Conn(t), "SELECT to_regclass('mine') IS NOT NULL") {
		t.Error("a table of one test is in the other's database")
	}
}

func TestNew_IsDroppedWhenItsTestEndsThoughSomebodyIsConnected(t *testing.T) {
	t.Parallel()
	watcher := testdb.Empty(t).Conn(t)
	var name string
	t.Run("user", func(t *testing.T) {
		config, err := pgx.ParseConfig(testdb.New(t).URL())
		if err != nil {
			t.Fatal(err)
		}
		name = config.Database
		if _, err := pgx.ConnectConfig(t.Context(), config); err != nil { // and never closed
			t.Fatal(err)
		}
	})
	var exists bool
	err := watcher.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil {
		t.Fatal(err)
	}
	if exists {
		t.Errorf("database %s is still there", name)
	}
}

func TestEmpty_HasNothing(t *testing.T) {
	t.Parallel()
	conn := testdb.Empty(t).Conn(t)
	if n := query[int](t, conn, "SELECT count(*) FROM pg_class WHERE oid >= 16384"); n != 0 {
		t.Errorf("%d tables and indexes, want none", n)
	}
	if path := query[string](t, conn, "SHOW search_path"); path != `"$user", public` {
		t.Errorf("search_path is %s", path)
	}
}

func TestAdvance_MovesTheClockOfOneDatabaseOnly(t *testing.T) {
	t.Parallel()
	moved, other := testdb.New(t), testdb.New(t)
	open := moved.Conn(t)
	moved.Advance(t, 50*time.Hour)
	moved.Advance(t, -2*time.Hour)

	there := query[time.Time](t, open, "SELECT clock_timestamp()")
	here := query[time.Time](t, other.Conn(t), "SELECT clock_timestamp()")
	if ahead := there.Sub(here); ahead < 47*time.Hour || ahead > 49*time.Hour {
		t.Errorf("the moved clock is %v ahead of the other, want about 48h", ahead)
	}
	if off := moved.Now().Sub(there).Abs(); off > time.Hour {
		t.Errorf("Now is %v away from the database's clock", off)
	}
}

func TestFreeze_OnlyAdvanceMovesTheClock(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t)
	db.Advance(t, time.Hour)
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	db.Freeze(t, at)
	for _, want := range []time.Time{at, at.Add(time.Microsecond)} {
		if got := query[time.Time](t, conn, "SELECT clock_timestamp()"); !got.Equal(want) || !db.Now().Equal(want) {
			t.Errorf("the database's clock stands at %v, Now at %v, want %v", got, db.Now(), want)
		}
		db.Advance(t, time.Microsecond)
	}
}

func TestClock_RunsOnWithinAStatement(t *testing.T) {
	t.Parallel()
	if query[bool](t, testdb.New(t).Conn(t), "SELECT clock_timestamp() = clock_timestamp()") {
		t.Error("the clock stands still within a statement")
	}
}

func TestClock_MayBeReadByEveryRole(t *testing.T) {
	t.Parallel()
	const role = "'pg_read_all_stats'" // one that stands on every server and owns nothing
	allowed := query[bool](t, testdb.New(t).Conn(t), `
		SELECT has_schema_privilege(`+role+`, 'testclock', 'USAGE')
		   AND has_table_privilege(`+role+`, 'testclock.shift', 'SELECT')
		   AND has_function_privilege(`+role+`, 'testclock.clock_timestamp()', 'EXECUTE')
		   AND has_function_privilege(`+role+`, 'testclock.pg_postmaster_start_time()', 'EXECUTE')`)
	if !allowed {
		t.Error("a role that owns nothing cannot read the time")
	}
}

func TestSetServerStart_IsLongAgoUnlessSet(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t)
	if !query[bool](t, conn, "SELECT pg_postmaster_start_time() < clock_timestamp() - interval '20 years'") {
		t.Error("the server has just started, for all that the product can see")
	}
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	db.SetServerStart(t, at)
	if got := query[time.Time](t, conn, "SELECT pg_postmaster_start_time()"); !got.Equal(at) {
		t.Errorf("the server started at %v, want %v", got, at)
	}
}

func TestDedicated_StopsAndStartsWithoutForgetting(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t)
	server.Advance(t, time.Hour)
	server.Exec(t, "CREATE TABLE kept (n int)")
	for i, how := range []string{"fast", "immediate"} {
		server.Exec(t, "INSERT INTO kept VALUES (1)")
		server.Stop(t, how)
		if conn, err := pgx.Connect(t.Context(), server.URL()); err == nil {
			conn.Close(t.Context())
			t.Errorf("the server answers after Stop(%q)", how)
		}
		server.Start(t)
		if n := query[int](t, server.Conn(t), "SELECT count(*) FROM kept"); n != i+1 {
			t.Errorf("%d rows after Stop(%q), want %d", n, how, i+1)
		}
	}
	if !query[bool](t, server.Conn(t), "SELECT clock_timestamp() > pg_catalog.clock_timestamp() + interval '59 minutes'") {
		t.Error("the movable clock did not survive")
	}
}

func TestProxy_BreaksBeforeTheServerKnowsOrWhenItHasCommitted(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, "CREATE TABLE written (n int)")
	proxy := testdb.NewProxy(t, db)
	write := func(f testdb.Fault) error {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), proxy.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		struck := proxy.Set(f)
		_, err = conn.Exec(t.Context(), "INSERT INTO written VALUES ($1)", 1)
		if text := struck(); text != "INSERT INTO written VALUES ($1)" {
			t.Errorf("the fault happened to %q", text)
		}
		return err
	}
	for _, c := range []struct {
		fault testdb.Fault
		fails bool
		rows  int // in all
	}{
		{testdb.Fault{Cut: true}, true, 0},
		{testdb.Fault{Cut: true, Answered: true}, true, 1},
		{testdb.Fault{Do: proxy.Terminate}, true, 1},
		{testdb.Fault{Do: proxy.Terminate, Answered: true}, false, 2},
	} {
		if err := write(c.fault); (err != nil) != c.fails {
			t.Errorf("%+v: error %v", c.fault, err)
		}
		if rows := query[int](t, db.Conn(t), "SELECT count(*) FROM written"); rows != c.rows {
			t.Errorf("%+v: %d rows, want %d", c.fault, rows, c.rows)
		}
	}
}
