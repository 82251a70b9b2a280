package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// Every statement of every use meets every fault of the connection, and the client tries again when
// the reuse interval is long over. Whatever happens it is answered in time, nobody is refused or
// signed out who should not be, nothing changes behind a 503 but by a COMMIT whose answer was lost,
// and the replica goes on.
func TestFaults_AtEveryStatement(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name string
		make func(*testdb.Proxy) testdb.Fault
	}{
		{"cut before", func(*testdb.Proxy) testdb.Fault { return testdb.Fault{Cut: true} }},
		{"answer cut", func(*testdb.Proxy) testdb.Fault { return testdb.Fault{Cut: true, Answered: true} }},
		{"terminated before", func(p *testdb.Proxy) testdb.Fault { return testdb.Fault{Do: p.Terminate} }},
		{"terminated after", func(p *testdb.Proxy) testdb.Fault { return testdb.Fault{Do: p.Terminate, Answered: true} }},
		{"swallowed", func(p *testdb.Proxy) testdb.Fault { return testdb.Fault{Do: swallow(p)} }},
		{"answer swallowed", func(p *testdb.Proxy) testdb.Fault { return testdb.Fault{Do: swallow(p), Answered: true} }},
	}
	for _, u := range uses {
		for _, f := range faults {
			t.Run(u.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				const most = 14 // more statements than any use has
				db := testdb.New(t)
				steady := steadySide(t, db)
				outages, struck, answers := make([]*outage, most), make([]string, most), make([]reply, most)
				var all sync.WaitGroup
				for i := range outages {
					o := newOutage(t, steady, fmt.Sprint("user", i+1), 0)
					outages[i] = o
					fault := f.make(o.proxy)
					fault.Nth = i + 1
					all.Go(func() { answers[i], struck[i] = o.suffer(t, u, fault) })
				}
				all.Wait()
				if struck[0] == "" || struck[most-1] != "" {
					t.Errorf("not every statement met the fault: %q", struck)
				}
				db.Advance(t, 3*reuseInterval)
				for i, o := range outages {
					if struck[i] != "" {
						all.Go(func() { o.recover(t, u, answers[i]) })
					}
				}
				all.Wait()
				steady.wantInvariants(t)
			})
		}
	}
}

func swallow(p *testdb.Proxy) func(uint32) { return func(uint32) { p.Swallow() } }

// suffer lets a fault happen to a use and tells the statement that it struck. Where it struck none
// the use had no trouble, and comes to its end at once.
func (o *outage) suffer(t *testing.T, u use, fault testdb.Fault) (a reply, struck string) {
	before := o.state(t)
	disarm := o.proxy.Set(fault)
	a = o.tryOnce(t, u)
	struck = disarm()
	o.proxy.Heal()
	if struck == "" {
		o.recover(t, u, a)
		return a, struck
	}
	committed := fault.Answered && (struck == "commit" || u.name == refresh.name && strings.Contains(struck, "UPDATE token_families"))
	if a.status == http.StatusServiceUnavailable && !committed && o.state(t) != before {
		t.Errorf("%s: a change stands behind a 503, after %q", o.user, struck)
	}
	return a, struck
}

// Trouble of the database itself: refusals, locks, read-only.
func TestFaults_OfTheDatabase(t *testing.T) {
	t.Parallel()
	const refuse = `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$; `
	cases := []struct {
		name       string
		begin, end string // on a connection that lasts as long as the trouble
	}{
		{"the child's insert is refused", refuse + `CREATE TRIGGER refuse BEFORE INSERT ON refresh_tokens FOR EACH ROW EXECUTE FUNCTION refuse()`, `DROP FUNCTION refuse CASCADE`},
		{"COMMIT is refused", refuse + `CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON token_families DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`, `DROP FUNCTION refuse CASCADE`},
		{"the families' rows are held", `BEGIN; SELECT FROM token_families FOR UPDATE`, `ROLLBACK`},
		{"the families are locked", `BEGIN; LOCK TABLE token_families IN ACCESS EXCLUSIVE MODE`, `ROLLBACK`},
		{"the tokens are locked", `BEGIN; LOCK TABLE refresh_tokens IN ACCESS EXCLUSIVE MODE`, `ROLLBACK`},
		{"the users are locked", `BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE`, `ROLLBACK`},
		{"the schema is gone", `ALTER TABLE token_families RENAME TO elsewhere`, `ALTER TABLE elsewhere RENAME TO token_families`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			conn := db.Conn(t)
			run := func(sql string) func() {
				return func() {
					if _, err := conn.Exec(t.Context(), sql); err != nil {
						t.Fatal(err)
					}
				}
			}
			throughTrouble(t, db, run(c.begin), run(c.end))
		})
	}
}

func TestFaults_ReadOnlyPrimary(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t)
	set := func(value string) {
		server.Exec(t, `ALTER SYSTEM SET default_transaction_read_only = `+value)
		server.Exec(t, `SELECT pg_reload_conf()`)
		for is := ""; is != value; { // new sessions get it when the postmaster has read it
			if err := server.Conn(t).QueryRow(t.Context(), `SHOW default_transaction_read_only`).Scan(&is); err != nil {
				t.Fatal(err)
			}
		}
	}
	throughTrouble(t, &server.DB, func() { set("on") }, func() { set("off") })
}

// throughTrouble makes every use of a database that is in trouble, and again when it is over.
func throughTrouble(t *testing.T, db *testdb.DB, begin, end func()) {
	t.Helper()
	steady := steadySide(t, db)
	outages, before := make([]*outage, len(uses)), make([]string, len(uses))
	for i, u := range uses {
		outages[i] = newOutage(t, steady, u.name, 0)
		before[i] = outages[i].state(t)
	}
	begin()
	var all sync.WaitGroup
	answers := make([]reply, len(uses))
	for i, o := range outages {
		all.Go(func() {
			answers[i] = o.tryOnce(t, uses[i])
			if answers[i].status == http.StatusServiceUnavailable {
				answers[i] = o.tryOnce(t, uses[i])
			}
		})
	}
	all.Wait()
	if answers[0].status != http.StatusServiceUnavailable {
		t.Errorf("%s: status %d: there is no trouble", uses[0].name, answers[0].status)
	}
	end()
	for i, o := range outages {
		if answers[i].status == http.StatusServiceUnavailable && o.state(t) != before[i] {
			t.Errorf("%s: a change stands behind a 503", o.user)
		}
		o.recover(t, uses[i], answers[i])
	}
	steady.wantInvariants(t)
}

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
// that releases it and returns when they are idle again. Each client is a user of its own: one account is
// guessed at only so many times at once.
func (o *outage) fillPool(t *testing.T, size, clients int) (release func()) {
	t.Helper()
	holder := o.db.Conn(t)
	fillers := make([]*outage, clients)
	for i := range fillers {
		fillers[i] = newOutage(t, *o, fmt.Sprint("filler", i), 1)
		fillers[i].server = o.server
	}
	if _, err := holder.Exec(t.Context(), `BEGIN; SELECT FROM users FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	var logins sync.WaitGroup
	var released atomic.Bool
	for _, filler := range fillers {
		logins.Go(func() {
			for !released.Load() { // the lock is not waited for as long as this may take
				filler.tryOnce(t, login)
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

// A full pool says nothing about the database, and anybody can fill it: it is no trouble that would
// keep an old token alive.
func TestFaults_PoolExhausted(t *testing.T) {
	t.Parallel()
	const size = 2
	db := testdb.New(t)
	o := newOutage(t, steadySide(t, db), "ana", size)
	waiting := newOutage(t, *o, "bob", size)
	waiting.server = o.server
	release := o.fillPool(t, size, 4*size)
	a := waiting.tryOnce(t, refresh)
	release()
	waiting.recover(t, refresh, a)

	db.Advance(t, 3*reuseInterval)
	if a := o.ask(t, postToken(o.parent)); a.status != http.StatusForbidden {
		t.Errorf("status %d for a token that was used long ago, want 403", a.status)
	}
	o.wantInvariants(t)
}
