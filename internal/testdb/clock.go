package testdb

import (
	"testing"
	"time"
)

// clockSQL shadows the built-ins that the product reads time with, and asks whether it talks to a
// standby. The product calls them without a schema, so it needs no switch for tests. The server's start
// is long ago unless a test says otherwise: the rule that the reuse interval begins there at the earliest
// would else hold in every test, since the server has just started. The functions with a search path of
// their own get one with the clock in it.
const clockSQL = `
CREATE SCHEMA testclock;
CREATE TABLE testclock.shift (
    ahead        interval    NOT NULL,
    frozen       timestamptz,
    server_start timestamptz NOT NULL,
    in_recovery  boolean     NOT NULL
);
INSERT INTO testclock.shift (ahead, server_start, in_recovery) VALUES ('0', '2000-01-01 00:00+00', false);
CREATE FUNCTION testclock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT coalesce(frozen, pg_catalog.clock_timestamp()) + ahead FROM testclock.shift';
CREATE FUNCTION testclock.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT server_start FROM testclock.shift';
CREATE FUNCTION testclock.pg_is_in_recovery() RETURNS boolean LANGUAGE sql VOLATILE AS
    'SELECT in_recovery FROM testclock.shift';
GRANT USAGE ON SCHEMA testclock TO PUBLIC;
GRANT SELECT ON testclock.shift TO PUBLIC;
ALTER FUNCTION kindred_ensure_partitions(regclass, date, date) SET search_path = public, testclock, pg_catalog, pg_temp;
ALTER FUNCTION kindred_drop_past_partition(regclass, date) SET search_path = public, testclock, pg_catalog, pg_temp;`

// searchPathSQL lets the clock's functions be found before the built-ins, which are searched first
// unless pg_catalog is named. A template's own settings are not copied with it. public comes first
// because that is where new tables go.
const searchPathSQL = `
DO $$ BEGIN
    EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = public, testclock, pg_catalog', pg_catalog.current_database());
END $$`

// atHomeSQL: a copy of the template is a database of its own, and not a backup that was restored.
const atHomeSQL = `UPDATE installation SET database_oid = d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()`

// Advance moves the database's clock, and Now with it, by d, which may be negative. Sessions that
// are already open see it too.
func (db *DB) Advance(t testing.TB, d time.Duration) {
	t.Helper()
	exec(t, db.url, "Advance",
		"UPDATE testclock.shift SET ahead = ahead + $1::bigint * interval '1 microsecond'", d.Microseconds())
	db.ahead.Add(int64(d.Truncate(time.Microsecond)))
}

// Freeze stops the database's clock, and Now with it, at an instant of whole microseconds: from then on
// only Advance moves them, so that a decision can be tried exactly on its boundary.
func (db *DB) Freeze(t testing.TB, at time.Time) {
	t.Helper()
	exec(t, db.url, "Freeze", "UPDATE testclock.shift SET frozen = $1, ahead = '0'", at)
	db.frozen.Store(&at)
	db.ahead.Store(0)
}

// Now is the world's time moved along with the database's clock, or the instant at which that was frozen.
func (db *DB) Now() time.Time {
	now := time.Now()
	if frozen := db.frozen.Load(); frozen != nil {
		now = *frozen
	}
	return now.Add(time.Duration(db.ahead.Load()))
}

// SetServerStart sets what pg_postmaster_start_time() tells in this database.
func (db *DB) SetServerStart(t testing.TB, at time.Time) {
	t.Helper()
	exec(t, db.url, "SetServerStart", "UPDATE testclock.shift SET server_start = $1", at)
}

// SetStandby makes the database call itself a standby, or a primary again.
func (db *DB) SetStandby(t testing.TB, standby bool) {
	t.Helper()
	exec(t, db.url, "SetStandby", "UPDATE testclock.shift SET in_recovery = $1", standby)
}
