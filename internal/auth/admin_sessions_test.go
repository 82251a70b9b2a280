package auth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

var asAdmin = auth.Caller{RequestID: "request-2", Actor: "user:0198c0de-0000-7000-8000-000000000001"}

func TestRevokeSession_EndsThatOne(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	gone, kept := a.login(t, "ana"), a.login(t, "ana")
	id := familyOf(t, a, gone)
	for range 2 { // the second time there is nothing left to do
		if err := a.RevokeSession(t.Context(), asAdmin, id); err != nil {
			t.Fatal(err)
		}
	}
	a.wantSignedOut(t, gone)
	b.wantSignedOut(t, gone)
	b.wantRefused(t, gone.RefreshToken)
	b.wantSignedIn(t, b.refresh(t, kept.RefreshToken))
	by := one[string](t, db, `SELECT string_agg(actor || ' ' || reason, ', ') FROM audit_events WHERE kind = 'family_revoked'`)
	if want := asAdmin.Actor + " ended_by_admin"; by != want {
		t.Errorf("the audit trail has %q, want %q", by, want)
	}
	f, _, err := b.Family(t.Context(), id)
	if err != nil || f.State != "revoked" || f.RevokedReason != "ended_by_admin" || f.RevokedBy != asAdmin.Actor || f.EndedAt.IsZero() {
		t.Errorf("family %+v, error %v", f, err)
	}
	for _, err := range []error{
		a.RevokeSession(t.Context(), asAdmin, uuid.New()),
		func() error { _, _, err := a.Family(t.Context(), uuid.New()); return err }(),
	} {
		if !errors.Is(err, auth.ErrFamilyNotFound) {
			t.Errorf("error %v, want ErrFamilyNotFound", err)
		}
	}
	a.wantInvariants(t)
}

func TestRevokeSessions_EndsAllOfOneUser(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	ana := a.addUser(t, "ana")
	a.addUser(t, "bob")
	first, second, bobs := a.login(t, "ana"), a.login(t, "ana"), a.login(t, "bob")
	for i, want := range []int{2, 0} {
		nameOrID := []string{"ANA", ana.ID.String()}[i]
		if ended, err := a.RevokeSessions(t.Context(), asAdmin, nameOrID); err != nil || ended != want {
			t.Errorf("%d ended, want %d, error %v", ended, want, err)
		}
	}
	for _, tokens := range []auth.Tokens{first, second} {
		b.wantSignedOut(t, tokens)
		b.wantRefused(t, tokens.RefreshToken)
	}
	b.refresh(t, bobs.RefreshToken)
	if n := count(events(t, db), "family_revoked"); n != 2 {
		t.Errorf("%d families in the audit trail, want 2", n)
	}
	if _, err := a.RevokeSessions(t.Context(), asAdmin, "nobody"); !errors.Is(err, auth.ErrUserNotFound) {
		t.Errorf("error %v, want ErrUserNotFound", err)
	}
}

// The transaction holds all of them, and one row of the trail after the other would take the longer the more there
// are: a user with thousands could not be shut out in the time that a request has.
func TestRevokeSessions_OfManyAreRecordedAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	ana := r.addUser(t, "ana")
	const sessions = 5
	for range sessions {
		r.login(t, "ana")
	}
	if err := r.DisableUser(t.Context(), asAdmin, "ana"); err != nil {
		t.Fatal(err)
	}
	got := one[string](t, db, `
		SELECT concat_ws(' ', count(*), count(DISTINCT id), count(DISTINCT family_id), count(DISTINCT cmin::text), min(client_id), max(actor), max(request_id), max(reason))
		  FROM audit_events WHERE kind = 'family_revoked' AND user_id = $1 AND family_id IN (SELECT id FROM token_families) AND detail = '{}'`, ana.ID)
	want := fmt.Sprintf("%[1]d %[1]d %[1]d 1 kindred %s %s user_disabled", sessions, asAdmin.Actor, asAdmin.RequestID)
	if got != want {
		t.Errorf("the trail has %q, want %q", got, want)
	}
}

// Who logs in while all is ended must not be left with a session that began before it.
func TestRevokeSessions_WaitsForALoginThatIsUnderWay(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.login(t, "ana")
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), `SELECT FROM users FOR SHARE`)
	if err == nil {
		_, err = tx.Exec(t.Context(), `
			INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id,
			    current_hash, rotated_at, idle_expires_at, access_until)
			SELECT gen_random_uuid(), user_id, client_id, created_at, auth_time, expires_at, expires_on, gen_random_uuid(),
			    current_hash, rotated_at, idle_expires_at, access_until FROM token_families`)
	}
	if err != nil {
		t.Fatal(err)
	}
	whileBlocked(t, db, func() {
		if ended, err := r.RevokeSessions(t.Context(), asAdmin, "ana"); err != nil || ended != 2 {
			t.Errorf("%d ended, want 2, error %v", ended, err)
		}
	}, func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if live := one[int](t, db, `SELECT count(*) FROM token_families WHERE revoked_at IS NULL`); live != 0 {
		t.Errorf("%d families live on", live)
	}
}

// families reads all pages of a list, and tells the states.
func (r replica) families(t testing.TB, name string, q auth.FamilyQuery) (ids []uuid.UUID, states string) {
	t.Helper()
	for {
		page, err := r.Families(t.Context(), name, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Families {
			ids, states = append(ids, f.ID), states+string(f.State)+" "
		}
		if page.Next == "" {
			return ids, states
		}
		q.Cursor = page.Next
	}
}

func TestFamilies_NewestFirstAndWhereEachStands(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Freeze(t, time.Now().Truncate(time.Second))
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.addUser(t, "bob")
	long := r.login(t, "ana")
	id := familyOf(t, r, long)
	r.login(t, "bob")
	for range lifetime/idle - 1 { // one is used until its very end
		db.Advance(t, idle-time.Second)
		long = r.refresh(t, long.RefreshToken)
	}
	db.Advance(t, lifetime-(idle-time.Second)*(lifetime/idle-1)-idle)
	r.login(t, "ana") // is idle when the first expires
	r.refresh(t, long.RefreshToken)
	db.Advance(t, idle-time.Second)
	ended := r.login(t, "ana")
	if err := r.RevokeSession(t.Context(), asAdmin, familyOf(t, r, ended)); err != nil {
		t.Fatal(err)
	}
	r.login(t, "ana")
	if _, states := r.families(t, "ana", auth.FamilyQuery{Page: auth.Page{Limit: 2}}); states != "live revoked live live " {
		t.Errorf("a second before: %s", states)
	}
	db.Advance(t, time.Second)
	all, states := r.families(t, "ana", auth.FamilyQuery{Page: auth.Page{Limit: 3}})
	if states != "live revoked idle expired " || all[3] != id {
		t.Errorf("%s %v", states, all)
	}
	for state, want := range map[string][]uuid.UUID{"all": all, "live": all[:1], "ended": all[1:]} {
		for limit := 1; limit <= 4; limit++ {
			if got, _ := r.families(t, "ana", auth.FamilyQuery{State: state, Page: auth.Page{Limit: limit}}); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s by %d: %v, want %v", state, limit, got, want)
			}
		}
	}
	if _, err := r.Families(t.Context(), "nobody", auth.FamilyQuery{Page: auth.Page{Limit: 1}}); !errors.Is(err, auth.ErrUserNotFound) {
		t.Errorf("error %v, want ErrUserNotFound", err)
	}
}
