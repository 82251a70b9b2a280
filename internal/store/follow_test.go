package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

// follow connects a follower that listens.
func follow(t testing.TB, databaseURL string) *store.Follower {
	t.Helper()
	f, err := store.NewFollower(store.FollowConfig{URL: databaseURL, Listen: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	return f
}

func readList(t testing.TB, f *store.Follower, since string) store.Reading {
	t.Helper()
	reading, err := f.Read(t.Context(), since, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// revoke writes a revocation past the product's code and returns its subject.
func revoke(t testing.TB, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, lasts time.Duration) uuid.UUID {
	t.Helper()
	var subject uuid.UUID
	err := q.QueryRow(t.Context(), `
		INSERT INTO revocations (kind, subject, until) VALUES ('family', gen_random_uuid(), clock_timestamp() + $1::interval)
		RETURNING subject`, lasts).Scan(&subject)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

func begin(t testing.TB, db *testdb.DB) pgx.Tx {
	t.Helper()
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func commit(t testing.TB, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func wantRead(t testing.TB, what string, reading store.Reading, subjects ...uuid.UUID) {
	t.Helper()
	if len(reading.Revocations) != len(subjects) {
		t.Errorf("%s: %d revocations, want %d", what, len(reading.Revocations), len(subjects))
		return
	}
	for i, r := range reading.Revocations {
		if r.Kind != store.RevokedFamily || r.Subject != subjects[i] || !r.Until.After(reading.Now) {
			t.Errorf("%s: revocation %+v, want of %v", what, r, subjects[i])
		}
	}
}

// The transaction that began first, with the lower id and the lower xid, commits last.
func TestRead_FollowsCommitsAndNotIDs(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db.URL())
	conn := db.Conn(t)
	earliest := revoke(t, conn, time.Hour)
	early := begin(t, db)
	first := revoke(t, early, time.Hour)
	second := revoke(t, conn, time.Hour)

	reading := readList(t, f, store.Beginning)
	wantRead(t, "while the first is under way", reading, earliest, second)
	third := revoke(t, conn, time.Hour)
	commit(t, early)
	reading = readList(t, f, reading.Next)
	wantRead(t, "after its end", reading, first, third)
	wantRead(t, "once more", readList(t, f, reading.Next))
	wantRead(t, "from the beginning", readList(t, f, store.Beginning), earliest, first, second, third)
}

// While a transaction lasts for hours, each row is read once all the same.
func TestRead_OnceBesideALongTransaction(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db.URL())
	long := begin(t, db)
	if _, err := long.Exec(t.Context(), `SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	reading := readList(t, f, store.Beginning)
	conn := db.Conn(t)
	for range 3 {
		subject := revoke(t, conn, time.Hour)
		reading = readList(t, f, reading.Next)
		wantRead(t, "beside it", reading, subject)
	}
	last := revoke(t, long, time.Hour)
	commit(t, long)
	wantRead(t, "its own", readList(t, f, reading.Next), last)
}

func TestRead_WhatMattersAndNoMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db.URL())
	conn := db.Conn(t)
	revoke(t, conn, time.Minute)
	long := revoke(t, conn, time.Hour)
	rolledBack := begin(t, db)
	revoke(t, rolledBack, time.Hour)
	if err := rolledBack.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.Advance(t, 2*time.Minute)
	wantRead(t, "one has expired", readList(t, f, store.Beginning), long)
	for range 3 {
		revoke(t, conn, time.Hour)
	}
	reading, err := f.Read(t.Context(), store.Beginning, 2)
	if err != nil || len(reading.Revocations) != 3 {
		t.Errorf("%d revocations, error %v, want the limit and one more", len(reading.Revocations), err)
	}
}

func TestRead_EachKind(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db.URL())
	db.Exec(t, `
		INSERT INTO revocations (kind, subject, family_id, below, before, until) VALUES
		('family', '00000000-0000-0000-0000-00000000000f', NULL, NULL, NULL, '2100-01-01 00:00+00'),
		('token', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000f', NULL, NULL, '2100-01-01 00:00+00'),
		('user', '00000000-0000-0000-0000-000000000002', NULL, 7, NULL, '2100-01-01 00:00+00'),
		('all', NULL, NULL, NULL, '2026-01-01 00:00+00', '2100-01-01 00:00+00')`)
	until := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	list := readList(t, f, store.Beginning).Revocations
	wanted := []store.Revocation{
		{Kind: store.RevokedFamily, Subject: uuid.UUID{15: 0xf}, Until: until},
		{Kind: store.RevokedToken, Subject: uuid.UUID{15: 1}, Until: until},
		{Kind: store.RevokedUser, Subject: uuid.UUID{15: 2}, Below: 7, Until: until},
		{Kind: store.RevokedAll, Before: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Until: until},
	}
	if len(list) != len(wanted) {
		t.Fatalf("%d revocations, want %d", len(list), len(wanted))
	}
	for i, r := range list {
		r.Until = r.Until.UTC()
		if !r.Before.IsZero() {
			r.Before = r.Before.UTC()
		}
		if r != wanted[i] {
			t.Errorf("read %+v, want %+v", r, wanted[i])
		}
	}
}

func TestRead_RefusesWhoCannotVouch(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db.URL())
	db.SetStandby(t, true)
	if _, err := f.Read(t.Context(), store.Beginning, 10); !errors.Is(err, store.ErrStandby) {
		t.Errorf("a standby: error %v, want ErrStandby", err)
	}
	db.SetStandby(t, false)
	const ahead = "1000000000:1000000000:" // of all that this server has seen
	if _, err := f.Read(t.Context(), ahead, 10); !errors.Is(err, store.ErrWentBack) {
		t.Errorf("transactions were lost: error %v, want ErrWentBack", err)
	}
	readList(t, f, store.Beginning)
}

func TestServer_TellsServersAndDatabasesApart(t *testing.T) {
	t.Parallel()
	db, other := testdb.New(t), testdb.New(t)
	name := func(db *testdb.DB) string {
		t.Helper()
		server, err := open(t, db, nil).Server(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	if server := readList(t, follow(t, db.URL()), store.Beginning).Server; server == "" || server != name(db) {
		t.Errorf("the follower is at %q, the pool at %q", server, name(db))
	}
	if name(db) == name(other) {
		t.Error("two databases have one name")
	}
	before := name(db)
	db.SetServerStart(t, db.Now())
	if name(db) == before {
		t.Error("a server that was started at another time has the same name")
	}
}

func TestFollower_HearsWhatCameBetweenReadingAndWait(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db.URL())
	conn := db.Conn(t)
	reading := readList(t, f, store.Beginning)
	for range 100 { // however many: the next reading has them all
		revoke(t, conn, time.Hour)
	}
	if err := f.Wait(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := len(readList(t, f, reading.Next).Revocations); n != 100 {
		t.Errorf("%d revocations, want 100", n)
	}
}

// What is heard while a reading is under way may be what it just missed: one more follows, and no third.
func TestFollower_HearsDuringAReading(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db.URL())
	reading := readList(t, f, store.Beginning)
	revoke(t, db.Conn(t), time.Hour)
	reading = readList(t, f, reading.Next)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Wait(ended, time.Hour); err != nil {
		t.Errorf("it was not heard: %v", err)
	}
	readList(t, f, reading.Next)
	if err := f.Wait(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("it was heard twice: error %v", err)
	}

	// A notification takes a lock of the whole database at commit: no rotation may send one.
	st := open(t, db, nil)
	_, family, first := login(t, st)
	rotate(t, st, family, first)
	readList(t, f, reading.Next)
	if err := f.Wait(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a login or a rotation was heard: error %v", err)
	}
}

func TestFollower_TakesTheURLOfThePool(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("pool_max_conns", "3")
	u.RawQuery = query.Encode()
	readList(t, follow(t, u.String()), store.Beginning)
	if _, err := store.NewFollower(store.FollowConfig{URL: "postgres://user:hunter2@host:port/db"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a URL that is none: error %v", err)
	}
}

// The readings of all replicas, four a second each, must not cost what the list is long. The generic plan
// too: behind a pooler the role asks for it.
func TestRead_PlanUsesTheIndexOnXid(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `
		INSERT INTO revocations (kind, subject, until)
		SELECT 'family', gen_random_uuid(), clock_timestamp() + interval '1 hour' FROM generate_series(1, 40000)`)
	for _, prepare := range []string{``, `ANALYZE revocations`} {
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			db.Exec(t, prepare)
			plan := explainStatement(t, db, mode, `read (text, bigint, interval) AS `+store.ReadStatement, `'1000000:1000000:', 100001, '1 day'`)
			if seq := plan.find("Seq Scan"); strings.Contains(strings.Join(seq, " "), "revocations") {
				t.Errorf("%s: the whole list is read: %v", mode, seq)
			}
			if found := strings.Join(plan.find("Index Scan"), ", "); !strings.Contains(found, "revocations_xid") {
				t.Errorf("%s: indexes used: %s", mode, found)
			}
		}
	}
}

// explainStatement asks for the plan of a statement as PREPARE takes it.
func explainStatement(t *testing.T, db *testdb.DB, mode, prepared, arguments string) planNode {
	t.Helper()
	conn := db.Conn(t)
	for _, statement := range []string{`SET plan_cache_mode = ` + mode, `PREPARE ` + prepared} {
		if _, err := conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	name, _, _ := strings.Cut(prepared, " ")
	var raw []byte
	explain := fmt.Sprintf(`EXPLAIN (FORMAT JSON) EXECUTE %s (%s)`, name, arguments)
	if err := conn.QueryRow(t.Context(), explain, pgx.QueryExecModeSimpleProtocol).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal(raw, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("plan %s: %v", raw, err)
	}
	return plans[0].Plan
}
