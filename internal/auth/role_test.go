package auth_test

import (
	"testing"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

func TestSetRole_OldAccessTokensEndAndSessionsLive(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db).feed(t, db.URL())
	user := a.addUser(t, "ana")
	tokens := a.login(t, "ana")
	b.hear(t)
	b.wantSignedIn(t, tokens)
	wantError(t, a.SetRole(t.Context(), operator, "ana", "admin"), nil)
	a.wantSignedOut(t, tokens)
	b.wantSignedOut(t, tokens)
	refreshed := b.refresh(t, tokens.RefreshToken)
	if who := b.wantSignedIn(t, refreshed); who.User.Role != "admin" {
		t.Errorf("role %q after the refresh", who.User.Role)
	}
	before := state(t, db)
	wantError(t, a.SetRole(t.Context(), operator, user.ID.String(), "admin"), nil) // the same once more
	wantInvalid(t, a.SetRole(t.Context(), operator, "ana", "No Role"), "role")
	wantError(t, a.SetRole(t.Context(), operator, "nobody", "admin"), auth.ErrUserNotFound)
	if state(t, db) != before {
		t.Error("something changed")
	}
	b.wantSignedIn(t, refreshed)
	if got := endedBy(t, db); got != "alive" {
		t.Errorf("families: %s", got)
	}
	if detail := one[string](t, db, `SELECT string_agg(actor || ' ' || detail::text, ';') FROM audit_events WHERE kind = 'role_changed'`); detail != `cli {"to": "admin", "from": "user"}` {
		t.Errorf("audit trail: %s", detail)
	}
}
