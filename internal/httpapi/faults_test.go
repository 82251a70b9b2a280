package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// Defect: pgx says of a COMMIT whose answer it could not read that it is safe to run it again, and so
// it was taken for one that was never sent.
func TestFaults_LostAnswerOfACommitThatRotated(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newOutage(t, steadySide(t, db), "ana", 0)
	holder := db.Conn(t)
	if _, err := holder.Exec(t.Context(), `BEGIN; SELECT FROM token_families FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	// The rotation passes over the family that is held, and the transaction that judges waits for it.
	waits := o.proxy.Set(testdb.Fault{Statement: "FOR UPDATE", Nth: 2, Do: func(uint32) {
		o.proxy.Set(testdb.Fault{Statement: "commit", Answered: true, Cut: true})
		if _, err := holder.Exec(context.Background(), `ROLLBACK`); err != nil {
			t.Error(err)
		}
	}})
	a := o.tryOnce(t, refresh)
	if waits() == "" || a.status != http.StatusServiceUnavailable {
		t.Errorf("status %d: no answer was lost", a.status)
	}
	db.Advance(t, 3*reuseInterval)
	o.recover(t, refresh, a)
	o.wantInvariants(t)
}

// Defect: a second was allowed for rolling back, whatever was left of the request's time.
func TestFaults_RollbackThatIsSwallowed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newOutage(t, steadySide(t, db), "ana", 0)
	holder := db.Conn(t)
	if _, err := holder.Exec(t.Context(), `BEGIN; SELECT FROM token_families FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	// The rotation is late by more than half of the time, so that the deadline passes in the wait for
	// the family, and the transaction is rolled back after it.
	var struck func() string
	o.proxy.Set(testdb.Fault{Do: func(uint32) {
		late, cancel := context.WithTimeout(t.Context(), outageTimeout*6/10)
		defer cancel()
		<-late.Done()
		struck = o.proxy.Set(testdb.Fault{Statement: "ROLLBACK", Do: swallow(o.proxy)})
	}})
	a := o.tryOnce(t, refresh)
	if struck() == "" || a.status != http.StatusServiceUnavailable {
		t.Errorf("status %d: nothing was rolled back", a.status)
	}
	o.proxy.Heal()
	if _, err := holder.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	o.recover(t, refresh, a)
}

func swallow(p *testdb.Proxy) func(uint32) { return func(uint32) { p.Swallow() } }

// Defect: whoever hung up before the deadline was taken for a client that has lost patience, and so an
// outage in which nobody waited long enough was never noticed: a rotation whose answer was lost in it
// made its client a thief.
func TestFaults_OutageInWhichEveryClientHangsUp(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		use  use
		lose func(t *testing.T, o *outage) // the trouble begins
	}{
		"an answer is lost": {refresh, func(t *testing.T, o *outage) {
			ctx, hangUp := context.WithCancel(t.Context())
			struck := o.proxy.Set(testdb.Fault{Answered: true, Do: func(uint32) { o.proxy.Swallow(); hangUp() }})
			o.giveUp(ctx, t, refresh)
			if struck() == "" {
				t.Error("no answer was lost")
			}
		}},
		"no connection can be made": {replay, func(t *testing.T, o *outage) {
			o.proxy.Swallow()
			for range 10 { // longer than an attempt to connect may take
				o.giveUpSoon(t, replay)
			}
		}},
		"an idle connection is dead": {replay, func(t *testing.T, o *outage) {
			o.tryOnce(t, check)
			idle := time.Now()
			other := newOutage(t, steadySide(t, o.db), "other", 1)
			for other.proxy.Swallow(); time.Since(idle) <= time.Second+100*time.Millisecond; {
				other.tryOnce(t, check)
			}
			o.proxy.Swallow()
			o.giveUpSoon(t, replay)
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			o := newOutage(t, steadySide(t, db), "ana", 1)
			c.lose(t, o)
			o.awaitIdle()
			db.Advance(t, 3*reuseInterval)
			o.proxy.Heal()
			o.recover(t, c.use, reply{status: http.StatusServiceUnavailable})
			o.wantInvariants(t)
		})
	}
}

func (o *outage) giveUpSoon(t *testing.T, u use) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), outageTimeout/10)
	defer cancel()
	o.giveUp(ctx, t, u)
}

func (o *outage) giveUp(ctx context.Context, t *testing.T, u use) {
	t.Helper()
	if a, err := o.send(u.send(o).WithContext(ctx)); err == nil {
		t.Errorf("status %d though nothing can have been answered", a.status)
	}
}

// Connections that went dead all at once, and do not say so, are not found out one request after the
// other, and do not keep their places in the pool.
func TestFaults_PoolOfDeadConnections(t *testing.T) {
	t.Parallel()
	const size, most = 16, 3
	for name, together := range map[string]int{"one request at a time": 1, "as many requests as connections": size} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			steady := steadySide(t, db)
			o := newOutage(t, steady, "ana", size)
			others := make([]*outage, together)
			for i := range others {
				others[i] = newOutage(t, steady, fmt.Sprint("user", i), 1)
				others[i].server = o.server
			}
			release := o.fillPool(t, size, size)
			release()
			o.proxy.Swallow()
			o.proxy.Heal()
			var all sync.WaitGroup
			for _, other := range others {
				all.Go(func() {
					a := other.tryOnce(t, refresh)
					if refusals := other.recover(t, refresh, a); refusals > most {
						t.Errorf("%d times 503 after the first", refusals)
					}
				})
			}
			all.Wait()
			o.wantInvariants(t)
		})
	}
}

// fillPool returns when each connection of the replica's pool waits for a lock, with the function
// that releases it and returns when they are idle again.
func (o *outage) fillPool(t *testing.T, size, clients int) (release func()) {
	t.Helper()
	holder := o.db.Conn(t)
	if _, err := holder.Exec(t.Context(), `BEGIN; SELECT FROM users WHERE username = '`+o.user+`' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	var logins sync.WaitGroup
	var released atomic.Bool
	for range clients {
		logins.Go(func() {
			for !released.Load() { // the lock is not waited for as long as this may take
				o.tryOnce(t, login)
			}
		})
	}
	watch := o.db.Conn(t)
	for blocked := 0; blocked < size; {
		err := watch.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		released.Store(true)
		if _, err := holder.Exec(t.Context(), `ROLLBACK`); err != nil {
			t.Fatal(err)
		}
		logins.Wait()
	}
}
