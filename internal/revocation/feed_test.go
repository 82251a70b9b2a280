package revocation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

// patience ends what would hang; nothing here comes near it.
const patience = 30 * time.Second

// following is a Set with a Feed that runs until the test ends.
type following struct {
	*Set
	log *lines
}

type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func follow(t testing.TB, db *testdb.DB, change ...func(*Config)) following {
	t.Helper()
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 5 * time.Second, MaxLifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f := following{NewSet(time.Now), &lines{}}
	config := Config{
		Follow: store.FollowConfig{URL: db.URL(), Listen: true}, Server: st.Server,
		KeysChanged: func(context.Context) error { return nil }, Log: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	for _, c := range change {
		c(&config)
	}
	feed, err := NewFeed(config, f.Set)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { feed.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); st.Close() })
	return f
}

// read waits for a reading that is asked for from now on.
func (f following) read(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.Next(ctx); err != nil {
		t.Fatalf("nothing was read: %v\n%s", err, f.log)
	}
}

// await waits until the list is fresh, or is not.
func (f following) await(t testing.TB, fresh bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f.Fresh() != fresh {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("fresh is still %v\n%s", !fresh, f.log)
		}
	}
}

// awaitLog waits for a line, n times in all.
func (f following) awaitLog(t testing.TB, text string, n int) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for strings.Count(f.log.String(), text) != n {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%q is not %d times in\n%s", text, n, f.log)
		}
	}
}

const (
	lost = "revocation feed is lost"
	back = "revocation feed is back"
)

func revoke(t testing.TB, db *testdb.DB) uuid.UUID {
	t.Helper()
	id := uuid.New()
	db.Exec(t, `INSERT INTO revocations (kind, subject, until) VALUES ('family', $1, clock_timestamp() + interval '1 hour')`, id)
	return id
}

func TestFeed_BringsWhatIsThereAndWhatComes(t *testing.T) {
	t.Parallel()
	for _, listen := range []bool{true, false} {
		t.Run(fmt.Sprintf("listen %v", listen), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			first := revoke(t, db)
			f := follow(t, db, func(c *Config) { c.Follow.Listen = listen })
			f.await(t, true)
			want(t, f.Set, Token{FamilyID: first}, Revoked)
			want(t, f.Set, Token{}, Clear)
			for range 3 {
				second := revoke(t, db)
				f.read(t)
				want(t, f.Set, Token{FamilyID: second}, Revoked)
			}
			want(t, f.Set, Token{}, Clear)
		})
	}
}

func TestFeed_MissesNoTransactionThatCommitsLate(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db)
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	early := uuid.New()
	if _, err := tx.Exec(t.Context(), `INSERT INTO revocations (kind, subject, until) VALUES ('family', $1, clock_timestamp() + interval '1 hour')`, early); err != nil {
		t.Fatal(err)
	}
	late := revoke(t, db)
	f.read(t)
	want(t, f.Set, Token{FamilyID: late}, Revoked)
	want(t, f.Set, Token{FamilyID: early}, Clear)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.read(t)
	want(t, f.Set, Token{FamilyID: early}, Revoked)
}

// What the connection before had read was another server's, for all that anybody knows.
func TestFeed_ReadsTheWholeListOnEachConnection(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db)
	f.await(t, true)
	// A revocation as a failover can leave it: of a transaction that is older than the last reading.
	missed := uuid.New()
	db.Exec(t, `INSERT INTO revocations (kind, subject, until, xid) VALUES ('family', $1, clock_timestamp() + interval '1 hour', '3')`, missed)
	f.read(t)
	want(t, f.Set, Token{FamilyID: missed}, Clear)
	cut(t, db)
	f.read(t)
	f.read(t)
	want(t, f.Set, Token{FamilyID: missed}, Revoked)
	if text := f.log.String(); text != "" {
		t.Errorf("a connection that was made again in time is worth no line:\n%s", text)
	}
}

// cut ends the feed's connection.
func cut(t testing.TB, db *testdb.DB) {
	t.Helper()
	db.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kindred feed' AND datname = current_database()`)
}

func TestFeed_StandbyVouchesForNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db)
	f.await(t, true)
	db.SetStandby(t, true)
	f.await(t, false)
	f.awaitLog(t, lost, 1)
	if !strings.Contains(f.log.String(), "standby") {
		t.Errorf("the log does not say why:\n%s", f.log)
	}
	db.SetStandby(t, false)
	f.awaitLog(t, back, 1)
	f.await(t, true)
}

// A list that is read elsewhere than where this replica writes is fresh, and worth nothing.
func TestFeed_AnotherServerVouchesForNothing(t *testing.T) {
	t.Parallel()
	db, other := testdb.New(t), testdb.New(t)
	f := follow(t, db, func(c *Config) { c.Follow.URL = other.URL() })
	f.awaitLog(t, lost, 1)
	if f.Fresh() || !strings.Contains(f.log.String(), "another server") {
		t.Errorf("fresh %v, log\n%s", f.Fresh(), f.log)
	}
}

// A pooler may change the server in the middle of a connection.
func TestFeed_ServerThatChangesUnderTheConnection(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	f := follow(t, db)
	f.await(t, true)
	missed := uuid.New()
	db.Exec(t, `INSERT INTO revocations (kind, subject, until, xid) VALUES ('family', $1, clock_timestamp() + interval '1 hour', '3')`, missed)
	db.SetServerStart(t, db.Now())
	f.read(t)
	want(t, f.Set, Token{FamilyID: missed}, Revoked)
}

func TestFeed_LostIsSaidOnceAndHeals(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	line := db.Line(t)
	f := follow(t, db, func(c *Config) { c.Follow.URL = line.URL() })
	f.await(t, true)
	for n := 1; n <= 2; n++ {
		line.Hold()
		f.await(t, false)
		want(t, f.Set, Token{}, Unknown)
		meanwhile := revoke(t, db)
		f.awaitLog(t, lost, n)
		want(t, f.Set, Token{FamilyID: meanwhile}, Unknown)
		line.Release()
		f.awaitLog(t, back, n)
		f.await(t, true)
		want(t, f.Set, Token{FamilyID: meanwhile}, Revoked)
	}
	if n := strings.Count(f.log.String(), "\n"); n != 4 {
		t.Errorf("%d lines for two losses:\n%s", n, f.log)
	}
}

func TestFeed_OverTheBoundAndBack(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `
		INSERT INTO revocations (kind, subject, until)
		SELECT 'family', gen_random_uuid(), clock_timestamp() + interval '1 minute' FROM generate_series(1, $1)`, maxEntries+1)
	f := follow(t, db)
	f.awaitLog(t, lost, 1)
	last := revoke(t, db)
	f.read(t)
	want(t, f.Set, Token{}, Unknown)
	want(t, f.Set, Token{FamilyID: last}, Unknown)
	db.Advance(t, 2*time.Minute)
	f.awaitLog(t, back, 1)
	f.await(t, true)
	want(t, f.Set, Token{}, Clear)
	want(t, f.Set, Token{FamilyID: last}, Revoked)
}

// Keys are loaded at each beginning and when one changes, and a list counts only with the keys to it.
func TestFeed_LoadsKeysWhenTheyMayHaveChanged(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	refusal := errors.New("refused by the test")
	var mu sync.Mutex
	var calls int
	var answer error = refusal
	loads := func() int {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
	f := follow(t, db, func(c *Config) {
		c.KeysChanged = func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			calls++
			return answer
		}
	})
	f.awaitLog(t, refusal.Error(), 1)
	if f.Fresh() {
		t.Error("a list without its keys counts")
	}
	mu.Lock()
	answer = nil
	mu.Unlock()
	f.await(t, true)
	before := loads()
	f.read(t)
	if after := loads(); after != before {
		t.Errorf("keys were loaded %d times although none had changed", after-before)
	}
	db.Exec(t, `INSERT INTO signing_keys (id, algorithm, private_key, published_at, sign_from) VALUES ('key', 'ES256', '', clock_timestamp(), clock_timestamp())`)
	f.read(t)
	if after := loads(); after != before+1 {
		t.Errorf("keys were loaded %d times for one change", after-before)
	}
}
