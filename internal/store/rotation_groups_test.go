package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// patientStore waits for a table's lock as long as a statement may take.
func patientStore(t testing.TB, db *testdb.DB, tracer pgx.QueryTracer) *store.Store {
	t.Helper()
	return patientStoreAt(t, db.URL(), tracer)
}

// patientStoreAt reaches the database by a way of its own.
func patientStoreAt(t testing.TB, url string, tracer pgx.QueryTracer) *store.Store {
	t.Helper()
	st, err := store.Open(store.Config{
		URL: url + "&lock_timeout=0", RequestTimeout: 20 * time.Second, MaxLifetime: lifetime, Tracer: tracer,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}

// chain is a family of which one party knows the current token.
type chain struct {
	family.Family
	current link
}

func chains(t testing.TB, st *store.Store, n int) []*chain {
	t.Helper()
	user := newUser(t, st)
	list := make([]*chain, n)
	for i := range list {
		f, first := startFamily(t, st, user.ID)
		list[i] = &chain{f, first}
	}
	return list
}

// rotate moves the chain on as a request does, which has a deadline.
func (c *chain) rotate(ctx context.Context, st *store.Store) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	next := newLink()
	grant, ok, err := st.RotateFamily(ctx, rotation(c.Family, c.current, next))
	if ok {
		c.current = next
	}
	if ok && grant.FamilyID != c.ID {
		return ok, errors.New("granted another family")
	}
	return ok, err
}

// held holds a table, so that rotations that begin are under way until release.
func held(t testing.TB, db *testdb.DB) (release func()) {
	t.Helper()
	conn := db.Conn(t)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE refresh_tokens IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// eventually asks until it is so; the test's own time-out is the limit.
func eventually(ctx context.Context, so func() bool) {
	for !so() && ctx.Err() == nil {
		<-time.After(time.Millisecond)
	}
}

func TestRotateFamily_ThoseThatArriveMeanwhileShareAStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	counted := &statements{}
	st := patientStore(t, db, counted)
	list := chains(t, st, 42)
	release := held(t, db)
	counted.take()

	var requests sync.WaitGroup
	for i, c := range list {
		requests.Go(func() {
			if ok, err := c.rotate(t.Context(), st); !ok || err != nil {
				t.Errorf("family %d: rotated %v, error %v", i, ok, err)
			}
		})
	}
	eventually(t.Context(), func() bool { return st.WaitingRotations() == 40 })
	release()
	requests.Wait()

	// Two were under way, 40 waited: a group of 32, and one of the rest or what arrived in its parts.
	rotations := 0
	for _, statement := range counted.take() {
		if statement == store.RotateStatement {
			rotations++
		}
	}
	if rotations != 4 {
		t.Errorf("%d statements for 42 rotations, want 2 for those that began and 2 for those that waited", rotations)
	}
	for i, c := range list {
		if f := read(t, st, c.ID); f.CurrentTokenID != c.current.id || f.Generation != 1 {
			t.Errorf("family %d: generation %d, another current token %v", i, f.Generation, f.CurrentTokenID != c.current.id)
		}
	}
	wantNoViolation(t, st)
}

// One of the group brings a child whose id another family's token has: its insert fails, and with it the
// statement. It fails alone.
func TestRotateFamily_OneFailureIsNoNeighbours(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := patientStore(t, db, nil)
	list := chains(t, st, 12)
	release := held(t, db)
	bad := rotation(list[0].Family, list[0].current, list[0].current)

	var requests sync.WaitGroup
	for _, c := range list[1:] {
		requests.Go(func() {
			if ok, err := c.rotate(t.Context(), st); !ok || err != nil {
				t.Errorf("rotated %v, error %v", ok, err)
			}
		})
	}
	eventually(t.Context(), func() bool { return st.WaitingRotations() == 9 })
	requests.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, ok, err := st.RotateFamily(ctx, bad); ok || err == nil {
			t.Errorf("a child that is its own parent: rotated %v, error %v", ok, err)
		}
	})
	eventually(t.Context(), func() bool { return st.WaitingRotations() == 10 })
	release()
	requests.Wait()
	if f := read(t, st, list[0].ID); f.Generation != 0 {
		t.Error("the family of the failure was rotated")
	}
	wantNoViolation(t, st)
}

func TestRotateFamily_WhoHangsUpLeavesTheGroup(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := patientStore(t, db, nil)
	list := chains(t, st, 8)
	release := held(t, db)
	hangUp, cancel := context.WithCancel(t.Context())

	var requests, gone sync.WaitGroup
	for i, c := range list {
		if i == 5 {
			eventually(t.Context(), func() bool { return st.WaitingRotations() == 3 })
			gone.Go(func() {
				if ok, err := c.rotate(hangUp, st); ok || !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("rotated %v, error %v", ok, err)
				}
			})
			eventually(t.Context(), func() bool { return st.WaitingRotations() == 4 })
			continue
		}
		requests.Go(func() {
			if ok, err := c.rotate(t.Context(), st); !ok || err != nil {
				t.Errorf("rotated %v, error %v", ok, err)
			}
		})
	}
	cancel()
	gone.Wait()
	release()
	requests.Wait()
	if f := read(t, st, list[5].ID); f.Generation != 0 {
		t.Error("who had left before the statement began was rotated")
	}
	wantNoViolation(t, st)
}

// Two replicas rotate the same families in opposite orders, in groups that overlap. None waits for the
// other's, none deadlocks: whoever finds a family held has nothing to rotate.
func TestRotateFamily_OverlappingGroupsOfTwoReplicas(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	counted := &statements{}
	stores := []*store.Store{open(t, db, counted), open(t, db, nil)}
	const rounds = 30
	list := chains(t, stores[0], 48)
	for range rounds {
		winners := make([][2]bool, len(list))
		var requests sync.WaitGroup
		next := make([][2]link, len(list))
		for i := range list {
			for s, st := range stores {
				c := i
				if s == 1 {
					c = len(list) - 1 - i
				}
				next[c][s] = newLink()
				requests.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					_, ok, err := st.RotateFamily(ctx, rotation(list[c].Family, list[c].current, next[c][s]))
					if err != nil {
						t.Error(err)
					}
					winners[c][s] = ok
				})
			}
		}
		requests.Wait()
		for c, won := range winners {
			switch {
			case won[0] && won[1]:
				t.Fatalf("family %d was rotated twice with one token", c)
			case won[0]:
				list[c].current = next[c][0]
			case won[1]:
				list[c].current = next[c][1]
			}
		}
	}
	for c := range list {
		if f := read(t, stores[0], list[c].ID); f.CurrentTokenID != list[c].current.id {
			t.Errorf("family %d has another current token than the one that was granted", c)
		}
	}
	if all := counted.take(); len(all) == 0 || !strings.Contains(strings.Join(all, ""), "SKIP LOCKED") {
		t.Error("no rotation was seen")
	}
	wantNoViolation(t, stores[0])
}

// The answer to a group's statement is lost. Whether it stands nobody knows, so each of the group asks again
// alone: what stands is not done twice, and the next step is judged as after any lost answer.
func TestRotateFamily_LostAnswerOfAGroup(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"before it arrived": false, "after it was done": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			proxy := testdb.NewProxy(t, db)
			st := patientStoreAt(t, proxy.URL(), nil)
			list := chains(t, st, 12)
			watch := db.Conn(t)
			var preparing sync.WaitGroup
			release := held(t, db)
			for _, c := range list[:2] { // each prepares the statement on a connection of its own
				preparing.Go(func() {
					if ok, err := c.rotate(t.Context(), st); !ok || err != nil {
						t.Errorf("rotated %v, error %v", ok, err)
					}
				})
			}
			eventually(t.Context(), func() bool { return waiting(t, watch) == 2 })
			release()
			preparing.Wait()
			release = held(t, db)
			next := make([]link, len(list))
			rotated := make([]bool, len(list))
			var requests sync.WaitGroup
			begin := func(i int) {
				next[i] = newLink()
				requests.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					_, ok, err := st.RotateFamily(ctx, rotation(list[i].Family, list[i].current, next[i]))
					if err != nil {
						t.Errorf("family %d: %v", i, err)
					}
					rotated[i] = ok
				})
			}
			begin(0)
			begin(1)
			eventually(t.Context(), func() bool { return waiting(t, watch) == 2 })
			struck := proxy.Set(testdb.Fault{Cut: true, Answered: answered})
			for i := 2; i < len(list); i++ {
				begin(i)
			}
			eventually(t.Context(), func() bool { return st.WaitingRotations() == len(list)-2 })
			release()
			requests.Wait()
			if statement := struck(); !strings.Contains(statement, "unnest") {
				t.Errorf("the fault happened to %q", statement)
			}
			for i, c := range list {
				f := read(t, st, c.ID)
				if f.CurrentTokenID != next[i].id {
					t.Errorf("family %d was not rotated", i)
				}
				if i >= 2 && rotated[i] == answered {
					t.Errorf("family %d: told that it rotated %v, although the group's statement stands %v", i, rotated[i], answered)
				}
			}
			wantNoViolation(t, st)
		})
	}
}

// waiting is how many sessions of the database wait for a lock.
func waiting(t testing.TB, watch *pgx.Conn) (n int) {
	t.Helper()
	err := watch.QueryRow(t.Context(), `
		SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
