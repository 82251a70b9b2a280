package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

// contested is a family that clients of several replicas refresh: as tabs, or as a thief and an owner.
type contested struct {
	chain
	mu         sync.Mutex
	generation int64
}

func (c *contested) token() link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *contested) moved(generation int64, to link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation > c.generation {
		c.generation, c.current = generation, to
	}
}

// refresh is what a request asks of the store: the happy statement, and otherwise the slow path.
func (c *contested) refresh(ctx context.Context, st *store.Store) (slow bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	from, to := c.token(), newLink()
	grant, ok, err := st.RotateFamily(ctx, rotation(c.Family, from, to))
	if ok {
		c.moved(grant.Generation, to)
	}
	if ok || err != nil {
		return false, err
	}
	return true, st.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		f, err := tx.LockFamily(ctx, c.ID)
		if err != nil || f.CurrentTokenID != from.id {
			c.moved(f.Generation, link{f.CurrentTokenID, f.CurrentHash})
			return err
		}
		grant, ok, err := tx.RotateFamily(ctx, rotation(c.Family, from, to))
		if ok {
			c.moved(grant.Generation, to)
		}
		return err
	})
}

// contender is a way to rotate groups, by two replicas.
type contender struct {
	name   string
	stores []*store.Store
	broken atomic.Int64 // groups that ended with a deadlock or by the time limit of a lock
}

func contenders(b *testing.B, db *testdb.DB) []*contender {
	const held = `SELECT id FROM token_families WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED`
	changed := func(to string) string {
		if !strings.Contains(store.RotateStatement, held) {
			b.Fatal("the statement locks in another way")
		}
		return strings.Replace(store.RotateStatement, held, to, 1)
	}
	list := []*contender{
		{name: "in order, SKIP LOCKED"}, {name: "in order, waiting"}, {name: "plain join, sorted"}, {name: "no groups"},
	}
	for i, statement := range []string{
		store.RotateStatement, changed(strings.TrimSuffix(held, " SKIP LOCKED")), changed(`SELECT family_id AS id FROM r`), "",
	} {
		for range 2 {
			config := store.Config{URL: db.URL(), RequestTimeout: 5 * time.Second, MaxLifetime: lifetime, MaxConns: 8}
			if statement == "" {
				config.RotationGroup = 1
			}
			st, err := store.Open(config)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(st.Close)
			st.GroupRotationsBy(statement, func(err error) {
				var pgErr *pgconn.PgError
				switch {
				case errors.As(err, &pgErr) && (pgErr.Code == "40P01" || pgErr.Code == "55P03"):
					list[i].broken.Add(1)
				case err != nil:
					b.Error(err)
				}
			})
			list[i].stores = append(list[i].stores, st)
		}
	}
	return list
}

// rivalFigures of one round.
type rivalFigures struct{ rate, p99, slow, broken float64 }

const clientsOfAReplica = 32

// round runs all clients for a moment; pick tells which family a client refreshes next.
func (c *contender) round(b *testing.B, length time.Duration, pick func(client int) *contested) rivalFigures {
	c.broken.Store(0)
	var mu sync.Mutex
	var took []time.Duration
	slowOnes := 0
	var clients sync.WaitGroup
	began := time.Now()
	for client := range 2 * clientsOfAReplica {
		clients.Go(func() {
			var mine []time.Duration
			slowOf := 0
			for last := began; last.Sub(began) < length; {
				slow, err := pick(client).refresh(b.Context(), c.stores[client%2])
				if err != nil {
					b.Errorf("%s: %v", c.name, err)
					return
				}
				if slow {
					slowOf++
				}
				now := time.Now()
				mine, last = append(mine, now.Sub(last)), now
			}
			mu.Lock()
			defer mu.Unlock()
			took, slowOnes = append(took, mine...), slowOnes+slowOf
		})
	}
	clients.Wait()
	if len(took) == 0 {
		b.FailNow()
	}
	slices.Sort(took)
	seconds := time.Since(began).Seconds()
	return rivalFigures{
		rate: float64(len(took)) / seconds, p99: float64(took[len(took)*99/100].Microseconds()) / 1000,
		slow: float64(slowOnes) / float64(len(took)), broken: float64(c.broken.Load()) / seconds,
	}
}

// BenchmarkRotateFamily_TwoReplicas holds ways to lock a group's families against each other, in turns: on families
// of each client's own, on families that all share, and while somebody holds one of these for 20 ms at a time. It
// takes -benchtime 11x for rounds; TEST_DATABASE_URL names a server that waits for its disk.
func BenchmarkRotateFamily_TwoReplicas(b *testing.B) {
	const families, length = 200, 400 * time.Millisecond
	db := testdb.New(b)
	list := contenders(b, db)
	var all []*contested
	for _, c := range chains(b, list[0].stores[0], families) {
		all = append(all, &contested{chain: *c})
	}
	own := func(client int) *contested { return all[client*3+rand.IntN(3)] }
	shared := func(int) *contested { return all[rand.IntN(families)] }
	scenes := []struct {
		name string
		pick func(int) *contested
		held bool
	}{{"own", own, false}, {"shared", shared, false}, {"shared, one held", shared, true}}
	found := map[string]map[string][]rivalFigures{}
	for b.Loop() {
		for _, scene := range scenes {
			if found[scene.name] == nil {
				found[scene.name] = map[string][]rivalFigures{}
			}
			for _, i := range rand.Perm(len(list)) {
				c := list[i]
				c.round(b, length/4, scene.pick) // warms up
				release := func() {}
				if scene.held {
					release = holding(b, db, all)
				}
				found[scene.name][c.name] = append(found[scene.name][c.name], c.round(b, length, scene.pick))
				release()
			}
		}
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "families\tlocks\t1/s\tof the first\tp99 ms\tslow path\tbroken groups a second")
	for _, scene := range scenes {
		first := median(found[scene.name][list[0].name], func(f rivalFigures) float64 { return f.rate })
		for _, c := range list {
			of := func(what func(rivalFigures) float64) float64 { return median(found[scene.name][c.name], what) }
			rate := of(func(f rivalFigures) float64 { return f.rate })
			fmt.Fprintf(w, "%s\t%s\t%.0f\t%.2f\t%.1f\t%.1f %%\t%.1f\n", scene.name, c.name, rate, rate/first, of(func(f rivalFigures) float64 { return f.p99 }),
				100*of(func(f rivalFigures) float64 { return f.slow }), of(func(f rivalFigures) float64 { return f.broken }))
		}
	}
	w.Flush()
	fmt.Printf("\nmedians of %d rounds of %v\n%s", b.N, length, table.String()) // a benchmark's log is cut off after ten lines
}

// holding holds a family of these after the other until release.
func holding(b *testing.B, db *testdb.DB, all []*contested) (release func()) {
	const long = 20 * time.Millisecond
	conn := db.Conn(b)
	ctx, cancel := context.WithCancel(b.Context())
	var holder sync.WaitGroup
	holder.Go(func() {
		for ctx.Err() == nil {
			tx, err := conn.Begin(b.Context())
			if err == nil {
				_, err = tx.Exec(b.Context(), `SELECT FROM token_families WHERE id = $1 FOR UPDATE`, all[rand.IntN(len(all))].ID)
			}
			if err != nil {
				b.Error(err)
				return
			}
			<-time.After(long)
			if err := tx.Rollback(b.Context()); err != nil {
				b.Error(err)
			}
		}
	})
	return func() { cancel(); holder.Wait(); _ = conn.Close(b.Context()) }
}

func median(list []rivalFigures, what func(rivalFigures) float64) float64 {
	var values []float64
	for _, f := range list {
		values = append(values, what(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
