package httpapi_test

import (
	"context"
	"net/http"
	"testing"

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
