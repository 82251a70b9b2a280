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
