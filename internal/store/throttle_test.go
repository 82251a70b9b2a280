package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"kindred/internal/account"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

var (
	testStreak  = account.Streak{Free: 3, First: time.Second, Longest: 10 * time.Second, Limit: 8}
	testNetwork = account.Bucket{Burst: 4, PerMinute: 30}
	testOverall = account.Bucket{Burst: 6, PerMinute: 45}
)

func streakOf(subject string) store.Charge {
	return store.Charge{Key: sha256.Sum256([]byte(subject)), Scope: account.ScopeName, Streak: testStreak}
}

func bucketOf(subject string, bucket account.Bucket) store.Charge {
	return store.Charge{Key: sha256.Sum256([]byte(subject)), Scope: account.ScopeNetwork, Bucket: bucket}
}

// The rules are written down twice: in package account, and in the statement that charges. Whatever is
// guessed from wherever, settled or not, and whenever a password is set, both let the same guesses in, tell
// the same wait, and count the same. The clock stands still, so that each wait is tried on its very instant.
// For longer: go test ./internal/store -run ThrottleDifferential -rapid.checks=1000
func TestThrottleDifferential_StatementAndRuleLetTheSameGuessesIn(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	start := db.Now().Truncate(time.Second)
	db.Freeze(t, start.Add(time.Second))
	m := &guessing{db: db, st: open(t, db, nil), conn: db.Conn(t), now: start.Add(time.Second)}
	user := newUser(t, m.st)
	name, err := account.ParseUsername(user.Username)
	if err != nil {
		t.Fatal(err)
	}
	m.names = []string{name.Key(), "nobody"}
	testdb.Check(t, func(c testdb.CheckT) {
		m.t, m.counts, m.open, m.password = c, map[[32]byte]account.Count{}, nil, start
		db.Exec(t, `DELETE FROM throttle`)
		db.Exec(t, `UPDATE users SET password_changed_at = $1`, start)
		c.Repeat(map[string]func(*rapid.T){
			"guess": m.guess, "guess again": m.guess, "settle": m.settle, "set password": m.setPassword, "advance": m.advance, "": m.check,
		})
	})
	if m.refused == 0 || m.letIn == 0 {
		t.Errorf("%d guesses were let in and %d were not", m.letIn, m.refused)
	}
	t.Logf("%d guesses were let in, %d were not", m.letIn, m.refused)
}

// guessing is the model beside the database.
type guessing struct {
	t        testdb.CheckT
	db       *testdb.DB
	st       *store.Store
	conn     *pgx.Conn
	now      time.Time
	names    []string // the first is a user's
	password time.Time
	counts   map[[32]byte]account.Count
	open     []openGuess // not settled

	letIn, refused int
}

type openGuess struct {
	reservation store.Reservation
	charges     []store.Charge
	prior       []account.Count
	after       []account.Count
}

func (m *guessing) guess(r *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(r, "name")
	charges := []store.Charge{
		streakOf(name), bucketOf(rapid.SampledFrom([]string{"here", "there"}).Draw(r, "network"), testNetwork), bucketOf("overall", testOverall),
	}
	var wait time.Duration
	g := openGuess{charges: charges}
	for i, c := range charges {
		count := m.counts[c.Key]
		if i == 0 && name == m.names[0] {
			count = count.At(m.password)
		}
		wait = max(wait, count.OpensAt.Sub(m.now))
		charged := testStreak.Charge(count, m.now)
		if c.Bucket.Limits() {
			charged = c.Bucket.Charge(count, m.now)
		}
		g.prior, g.after = append(g.prior, count), append(g.after, charged)
	}
	reservation, err := m.st.Reserve(m.t.Context(), store.Guessed{NameKey: name}, charges)
	var throttled *store.ThrottledError
	switch {
	case wait > 0 && !errors.As(err, &throttled):
		m.t.Fatalf("error %v, want a wait of %v", err, wait)
	case wait > 0:
		m.refused++
		if throttled.Wait != wait {
			m.t.Fatalf("told to wait %v, want %v", throttled.Wait, wait)
		}
	case err != nil:
		m.t.Fatalf("a guess that the rule lets in: %v", err)
	default:
		m.letIn++
		g.reservation = reservation
		m.open = append(m.open, g)
		for i, c := range charges {
			m.counts[c.Key] = g.after[i]
		}
	}
}

// settle takes the latest guess back: earlier ones have been charged over.
func (m *guessing) settle(r *rapid.T) {
	if len(m.open) == 0 {
		return
	}
	g := m.open[len(m.open)-1]
	m.open = nil
	right := rapid.Bool().Draw(r, "right")
	if err := m.st.Settle(m.t.Context(), g.reservation, right); err != nil {
		m.t.Fatal(err)
	}
	for i, c := range g.charges {
		switch {
		case c.Bucket.Limits():
			m.counts[c.Key] = account.Count{ChargedAt: g.prior[i].ChargedAt, OpensAt: g.after[i].OpensAt.Add(-c.Bucket.Step())}
		case right:
			m.counts[c.Key] = account.Count{PasswordSetAt: g.after[i].PasswordSetAt}
		default:
			m.counts[c.Key] = g.prior[i]
		}
	}
}

func (m *guessing) setPassword(*rapid.T) {
	m.password, m.open = m.now, nil
	if _, err := m.conn.Exec(m.t.Context(), `UPDATE users SET password_changed_at = $1`, m.now); err != nil {
		m.t.Fatal(err)
	}
}

// advance goes to the instant at which something opens, or right beside it.
func (m *guessing) advance(r *rapid.T) {
	steps := []time.Duration{time.Microsecond, time.Second, time.Minute}
	for _, c := range m.counts {
		if wait := c.OpensAt.Sub(m.now); wait > 0 {
			steps = append(steps, wait, wait+time.Microsecond, max(wait-time.Microsecond, time.Microsecond))
		}
	}
	step := steps[rapid.IntRange(0, len(steps)-1).Draw(r, "step")]
	m.db.Advance(m.t, step)
	m.now = m.now.Add(step)
}

func (m *guessing) check(*rapid.T) {
	rows, err := m.conn.Query(m.t.Context(), `SELECT key, failures, charged_at, opens_at, password_set_at, scope FROM throttle`)
	if err != nil {
		m.t.Fatal(err)
	}
	got := map[[32]byte]account.Count{}
	var key []byte
	var c account.Count
	var scope account.Scope
	_, err = pgx.ForEachRow(rows, []any{&key, &c.Failures, &c.ChargedAt, &c.OpensAt, &c.PasswordSetAt, &scope}, func() error {
		count := account.Count{Failures: c.Failures, ChargedAt: orZero(c.ChargedAt), OpensAt: orZero(c.OpensAt)}
		if scope == account.ScopeName {
			count.PasswordSetAt = orZero(c.PasswordSetAt)
		}
		got[[32]byte(key)] = count
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	for key, want := range m.counts {
		want.ChargedAt, want.OpensAt, want.PasswordSetAt = orZero(want.ChargedAt), orZero(want.OpensAt), orZero(want.PasswordSetAt)
		if diff := cmp.Diff(want, got[key]); diff != "" {
			m.t.Fatalf("rule and database count differently: %s", diff)
		}
	}
}

// orZero spells what never was as Go does.
func orZero(at time.Time) time.Time {
	if at.Unix() <= 0 {
		return time.Time{}
	}
	return at.UTC()
}

// Guesses at one name from as many networks as there are guesses, on two replicas at once: what the rule
// lets in is let in, and not one more.
func TestReserve_ParallelGuessesOverTwoReplicas(t *testing.T) {
	t.Parallel()
	const guesses = 200
	for name, c := range map[string]struct {
		charge func(i int) []store.Charge
		want   int64
	}{
		"at one account": {func(i int) []store.Charge {
			return []store.Charge{streakOf("ana"), bucketOf(fmt.Sprint(i), testNetwork)}
		}, 3},
		"at many accounts from one network": {func(i int) []store.Charge {
			return []store.Charge{streakOf(fmt.Sprint(i)), bucketOf("here", testNetwork)}
		}, 4},
		"at many accounts from many networks": {func(i int) []store.Charge {
			return []store.Charge{streakOf(fmt.Sprint(i)), bucketOf("n"+fmt.Sprint(i), testNetwork), bucketOf("overall", testOverall)}
		}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			db.Freeze(t, db.Now().Truncate(time.Second))
			replicas := []*store.Store{open(t, db, nil), open(t, db, nil)}
			var letIn atomic.Int64
			var wg sync.WaitGroup
			for i := range guesses {
				wg.Go(func() {
					_, err := replicas[i%2].Reserve(t.Context(), store.Guessed{NameKey: "ana"}, c.charge(i))
					var throttled *store.ThrottledError
					switch {
					case err == nil:
						letIn.Add(1)
					case !errors.As(err, &throttled):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if letIn.Load() != c.want {
				t.Errorf("%d of %d guesses were let in, want %d", letIn.Load(), guesses, c.want)
			}
		})
	}
}

// A flood costs one reading each, and neither a lock nor a write.
func TestReserve_WhatIsNotLetInWritesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	counted := &statements{}
	st := open(t, db, counted)
	charges := []store.Charge{streakOf("ana"), bucketOf("here", testNetwork)}
	for range testStreak.Free {
		if _, err := st.Reserve(t.Context(), store.Guessed{}, charges); err != nil {
			t.Fatal(err)
		}
	}
	var before, after string
	const rows = `SELECT jsonb_agg(ARRAY[ctid::text, xmax::text, t::text] ORDER BY key)::text FROM throttle t`
	conn := db.Conn(t)
	if err := conn.QueryRow(t.Context(), rows).Scan(&before); err != nil {
		t.Fatal(err)
	}
	counted.take()
	var throttled *store.ThrottledError
	if _, err := st.Reserve(t.Context(), store.Guessed{}, append(charges, bucketOf("another", testNetwork))); !errors.As(err, &throttled) {
		t.Fatalf("error %v", err)
	}
	if list := counted.take(); len(list) != 1 {
		t.Errorf("%d statements: %q", len(list), list)
	}
	if err := conn.QueryRow(t.Context(), rows).Scan(&after); err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Errorf("the rows went from %s to %s", before, after)
	}
}

func TestTellRefusals_OneOfTwoReplicasTellsAndCountsAll(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Freeze(t, db.Now().Truncate(time.Second))
	replicas := []*store.Store{open(t, db, nil), open(t, db, nil)}
	tell := func(guesses int) (told []int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range guesses {
			reservation, err := replicas[i%2].Reserve(t.Context(), store.Guessed{}, []store.Charge{bucketOf("here", account.Bucket{Burst: 100, PerMinute: 1})})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				err := replicas[i%2].InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					count, first, err := tx.TellRefusals(ctx, reservation)
					mu.Lock()
					defer mu.Unlock()
					if first {
						told = append(told, count)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
			if i == guesses-1 {
				wg.Wait()
			}
		}
		return told
	}
	first := tell(8)
	if len(first) != 1 {
		t.Fatalf("told %v in the first minute, want once", first)
	}
	db.Advance(t, time.Minute)
	if second := tell(1); len(second) != 1 || second[0] != 8-first[0]+1 {
		t.Errorf("told %v in the second minute; of 9 guesses %d were told before", second, first[0])
	}
}

// Guesses that were all let in by what they first saw wait for one row. Once they have it, what stands there
// then decides.
func TestReserve_JudgesAfterTheWait(t *testing.T) {
	t.Parallel()
	const guesses = 8
	db := testdb.New(t)
	db.Freeze(t, db.Now().Truncate(time.Second))
	st, watch := open(t, db, nil), db.Conn(t)
	charges := []store.Charge{streakOf("ana"), bucketOf("here", testNetwork)}
	if _, err := st.Reserve(t.Context(), store.Guessed{}, charges); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, db)
	if _, err := tx.Exec(t.Context(), `SELECT FROM throttle FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	var letIn atomic.Int64
	var wg sync.WaitGroup
	for range guesses {
		wg.Go(func() {
			_, err := st.Reserve(t.Context(), store.Guessed{}, charges)
			var throttled *store.ThrottledError
			switch {
			case err == nil:
				letIn.Add(1)
			case !errors.As(err, &throttled):
				t.Error(err)
			}
		})
	}
	for blocked := 0; blocked < guesses; {
		err := watch.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(t, tx)
	wg.Wait()
	if letIn.Load() != 2 {
		t.Errorf("%d guesses were let in, want the two that were left", letIn.Load())
	}
}
