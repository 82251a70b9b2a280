package auth_test

import (
	"strings"
	"testing"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

func TestDeleteUser_LeavesATombstone(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	user := a.addUser(t, "Ana-Maria")
	db.Exec(t, `UPDATE users SET claims = '{"plan":"gold"}'`)
	wantError(t, a.SetRole(t.Context(), operator, "ana-maria", "admin"), nil)
	first, second := a.login(t, "ana-maria"), a.login(t, "ana-maria")
	a.resetToken(t, "Ana-Maria")
	wantError(t, a.DeleteUser(t.Context(), operator, "ANA-MARIA"), nil)
	for _, tokens := range []auth.Tokens{first, second} {
		b.wantSignedOut(t, tokens)
		b.wantRefused(t, tokens.RefreshToken)
	}
	wantError(t, b.loginWith(t, "ana-maria", userPassword), auth.ErrInvalidCredentials)
	for _, gone := range []string{"ana-maria", user.ID.String()} {
		wantError(t, b.DeleteUser(t.Context(), operator, gone), auth.ErrUserNotFound)
		wantError(t, b.EnableUser(t.Context(), operator, gone), auth.ErrUserNotFound)
		wantError(t, b.SetRole(t.Context(), operator, gone, "user"), auth.ErrUserNotFound)
		_, err := b.MakeResetLink(t.Context(), operator, gone)
		wantError(t, err, auth.ErrUserNotFound)
	}
	if got := endedBy(t, db); got != "user_deleted by cli, user_deleted by cli" {
		t.Errorf("families: %s", got)
	}
	for _, table := range []string{"users", "password_resets", "audit_events", "token_families", "revocations"} {
		if rows := one[string](t, db, `SELECT coalesce(string_agg(x::text, ' '), '') FROM `+table+` x`); strings.Contains(strings.ToLower(rows), "ana-maria") || strings.Contains(rows, "gold") || strings.Contains(rows, "$argon2") {
			t.Errorf("of the user is left in %s: %s", table, rows)
		}
	}
	if kinds := events(t, db); count(kinds, "user_deleted") != 1 {
		t.Errorf("audit trail %q", kinds)
	}
	a.wantInvariants(t)
}

func TestDeleteUser_ANameGivenAgainInheritsNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	before := r.addUser(t, "ana")
	wantError(t, r.SetRole(t.Context(), operator, "ana", "admin"), nil)
	tokens := r.login(t, "ana")
	reset := r.resetToken(t, "ana")
	wantError(t, r.DeleteUser(t.Context(), operator, "ana"), nil)
	after, err := r.Register(t.Context(), caller, "Ana", otherPassword)
	if err != nil {
		t.Fatal(err)
	}
	if after.ID == before.ID || after.Role != "user" || len(after.Claims) != 0 {
		t.Errorf("registered %+v, after %+v", after, before)
	}
	r.wantSignedOut(t, tokens)
	r.wantRefused(t, tokens.RefreshToken)
	wantError(t, r.ResetPassword(t.Context(), caller, reset, userPassword), auth.ErrInvalidResetToken)
	wantError(t, r.loginWith(t, "ana", userPassword), auth.ErrInvalidCredentials)
	tokens, err = r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: otherPassword})
	if err != nil {
		t.Fatal(err)
	}
	who := r.wantSignedIn(t, tokens)
	if sessions, err := r.Sessions(t.Context(), who); err != nil || len(sessions) != 1 {
		t.Errorf("%d sessions, error %v", len(sessions), err)
	}
	r.wantInvariants(t)
}

func TestDeleteMe_WantsThePassword(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	who := r.wantSignedIn(t, tokens)
	for _, wrong := range []string{"", otherPassword} {
		wantError(t, r.DeleteMe(t.Context(), caller, who, wrong), auth.ErrInvalidCredentials)
	}
	r.wantSignedIn(t, tokens)
	wantError(t, r.DeleteMe(t.Context(), caller, who, userPassword), nil)
	r.wantSignedOut(t, tokens)
	wantError(t, r.DeleteMe(t.Context(), caller, who, userPassword), auth.ErrInvalidCredentials)
	if got := endedBy(t, db); got != "user_deleted by user" {
		t.Errorf("families: %s", got)
	}
}

func TestDeleteMe_PasswordChangedMeanwhile(t *testing.T) {
	t.Parallel()
	meanwhile(t, map[string]error{
		"to another": auth.ErrInvalidCredentials, "rehashed": nil, "disabled": auth.ErrInvalidCredentials, "deleted": auth.ErrInvalidCredentials,
	}, func(r replica, who auth.Identity) error { return r.DeleteMe(t.Context(), caller, who, userPassword) })
}
