package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

func TestAuthenticate_OneStatement(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	r.statements.take()
	r.wantSignedIn(t, tokens)
	if list := r.statements.take(); len(list) != 1 {
		t.Errorf("%d statements for a check: %q", len(list), list)
	}
	for _, garbage := range []string{"", "x", "a.b.c", tokens.AccessToken + "x", tokens.RefreshToken} {
		if _, err := r.Authenticate(t.Context(), garbage); !errors.Is(err, auth.ErrInvalidAccessToken) {
			t.Errorf("error %v, want ErrInvalidAccessToken", err)
		}
	}
	if list := r.statements.take(); len(list) != 0 {
		t.Errorf("statements for tokens that are not ours: %q", list)
	}
}

func TestAuthenticate_EndsWithLifetimesAndChanges(t *testing.T) {
	t.Parallel()
	cases := map[string]func(db *testdb.DB, t *testing.T){
		"expired": func(db *testdb.DB, t *testing.T) { db.Advance(t, access+2*time.Minute) },
		"role changed": func(db *testdb.DB, t *testing.T) {
			db.Exec(t, `UPDATE users SET role = 'admin', version = version + 1`)
		},
		"user disabled": func(db *testdb.DB, t *testing.T) { db.Exec(t, `UPDATE users SET disabled_at = clock_timestamp()`) },
		"family revoked": func(db *testdb.DB, t *testing.T) {
			db.Exec(t, `UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = 'logout', revoked_by = ''`)
		},
		"family purged": func(db *testdb.DB, t *testing.T) { db.Exec(t, `DELETE FROM token_families`) },
		"another's family": func(db *testdb.DB, t *testing.T) {
			db.Exec(t, `INSERT INTO users SELECT gen_random_uuid(), 'b', 'b', password_hash, role, version, claims, created_at, password_changed_at FROM users; UPDATE token_families SET user_id = (SELECT id FROM users WHERE username = 'b')`)
		},
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			tokens := r.login(t, "ana")
			r.wantSignedIn(t, tokens)
			end(db, t)
			r.wantSignedOut(t, tokens)
		})
	}
}

func TestAuthenticate_RefreshBringsTheNewRole(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	db.Exec(t, `UPDATE users SET role = 'admin', version = version + 1`)
	r.wantSignedOut(t, tokens)
	if who := r.wantSignedIn(t, r.refresh(t, tokens.RefreshToken)); who.User.Role != "admin" {
		t.Errorf("role %q after the refresh", who.User.Role)
	}
}

func TestLogout_ByAnyCredentialOfTheSession(t *testing.T) {
	t.Parallel()
	cases := map[string]func(db *testdb.DB, t *testing.T, first, second auth.Tokens) auth.LogoutRequest{
		"current token": func(_ *testdb.DB, _ *testing.T, _, second auth.Tokens) auth.LogoutRequest {
			return auth.LogoutRequest{RefreshToken: second.RefreshToken}
		},
		"old token, no reuse verdict": func(db *testdb.DB, t *testing.T, first, _ auth.Tokens) auth.LogoutRequest {
			db.Advance(t, interval)
			return auth.LogoutRequest{RefreshToken: first.RefreshToken}
		},
		"access token": func(_ *testdb.DB, _ *testing.T, _, second auth.Tokens) auth.LogoutRequest {
			return auth.LogoutRequest{AccessToken: second.AccessToken}
		},
		"expired access token": func(db *testdb.DB, t *testing.T, _, second auth.Tokens) auth.LogoutRequest {
			db.Advance(t, 2*access)
			return auth.LogoutRequest{AccessToken: second.AccessToken}
		},
		"both": func(_ *testdb.DB, _ *testing.T, first, second auth.Tokens) auth.LogoutRequest {
			return auth.LogoutRequest{RefreshToken: second.RefreshToken, AccessToken: first.AccessToken}
		},
	}
	for name, request := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			a, b := newReplica(t, db), newReplica(t, db)
			a.addUser(t, "ana")
			other := a.login(t, "ana")
			first := a.login(t, "ana")
			second := a.refresh(t, first.RefreshToken)
			r := request(db, t, first, second)
			for range 2 { // the second time it is gone, and that is fine
				if err := a.Logout(t.Context(), caller, r); err != nil {
					t.Fatal(err)
				}
			}
			b.wantRefused(t, second.RefreshToken)
			b.wantSignedOut(t, second)
			b.refresh(t, other.RefreshToken)
			kinds := events(t, db)
			if count(kinds, "logout") != 1 || count(kinds, "family_revoked") != 1 || count(kinds, "reuse_detected") != 0 {
				t.Errorf("audit trail %q", kinds)
			}
			a.wantInvariants(t)
		})
	}
}

func TestLogout_WhatIsNotOursEndsNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens, other := r.login(t, "ana"), r.login(t, "ana")
	before := state(t, db)
	for name, request := range map[string]auth.LogoutRequest{
		"garbage":           {RefreshToken: "krt_x", AccessToken: "x.y.z"},
		"a forged token":    {RefreshToken: forge(t, tokens.RefreshToken, true)},
		"another's hash":    {RefreshToken: forge(t, tokens.RefreshToken, false)},
		"a damaged token":   {RefreshToken: tokens.RefreshToken[:len(tokens.RefreshToken)-1]},
		"a damaged JWT":     {AccessToken: tokens.AccessToken[:len(tokens.AccessToken)-1]},
		"swapped kinds":     {RefreshToken: tokens.AccessToken, AccessToken: tokens.RefreshToken},
		"nothing":           {},
		"two JWTs in a row": {AccessToken: tokens.AccessToken + " " + tokens.AccessToken},
	} {
		if err := r.Logout(t.Context(), caller, request); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := r.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: tokens.RefreshToken, AccessToken: other.AccessToken})
	if !errors.Is(err, auth.ErrTwoCredentials) {
		t.Errorf("two sessions at once: error %v", err)
	}
	if after := state(t, db); after != before {
		t.Error("something was ended")
	}
}

func TestSessions_ListEndOneEndAll(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.addUser(t, "bob")
	phone, laptop, tablet := r.login(t, "ana"), r.login(t, "ana"), r.login(t, "ana")
	bobs := r.login(t, "bob")
	ana, bob := r.wantSignedIn(t, laptop), r.wantSignedIn(t, bobs)
	db.Advance(t, time.Minute)
	phone = r.refresh(t, phone.RefreshToken)

	list, err := r.Sessions(t.Context(), ana)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d sessions, error %v", len(list), err)
	}
	if list[0].ID != familyOf(t, r, phone) || !list[0].LastUsedAt.After(list[1].LastUsedAt) {
		t.Error("the session used last is not the first of the list")
	}
	for _, s := range list {
		if s.Current != (s.ID == ana.SessionID) || s.UserAgent != "test/1" || s.Address.String() != "192.0.2.1" || !s.ExpiresAt.After(s.LastUsedAt) {
			t.Errorf("session %+v", s)
		}
	}
	for _, id := range []uuid.UUID{bob.SessionID, uuid.New(), {}} {
		if err := r.EndSession(t.Context(), caller, ana, id); !errors.Is(err, auth.ErrSessionNotFound) {
			t.Errorf("ending %v: error %v, want ErrSessionNotFound", id, err)
		}
	}
	if err := r.EndSession(t.Context(), caller, ana, familyOf(t, r, phone)); err != nil {
		t.Fatal(err)
	}
	r.wantSignedOut(t, phone)
	r.wantRefused(t, phone.RefreshToken)
	if err := r.EndSession(t.Context(), caller, ana, list[0].ID); !errors.Is(err, auth.ErrSessionNotFound) {
		t.Errorf("ending it twice: error %v", err)
	}
	if err := r.EndSessions(t.Context(), caller, ana, true); err != nil {
		t.Fatal(err)
	}
	r.wantSignedOut(t, tablet)
	r.wantSignedIn(t, laptop)
	if err := r.EndSessions(t.Context(), caller, ana, false); err != nil {
		t.Fatal(err)
	}
	r.wantSignedOut(t, laptop)
	r.wantSignedIn(t, bobs)
	if n := count(events(t, db), "family_revoked"); n != 3 {
		t.Errorf("%d revocations in the audit trail, want 3", n)
	}
	r.wantInvariants(t)
}

func TestDisableUser_EndsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	one, two := a.login(t, "ana"), a.login(t, "ana")
	for range 2 { // disabling twice is no error and no second event
		if err := a.DisableUser(t.Context(), auth.Caller{Actor: "cli"}, "ANA"); err != nil {
			t.Fatal(err)
		}
	}
	for _, tokens := range []auth.Tokens{one, two} {
		b.wantSignedOut(t, tokens)
		b.wantRefused(t, tokens.RefreshToken)
	}
	if err := a.EnableUser(t.Context(), auth.Caller{Actor: "cli"}, "ana"); err != nil {
		t.Fatal(err)
	}
	b.wantRefused(t, one.RefreshToken)
	b.wantSignedOut(t, two)
	b.wantSignedIn(t, b.login(t, "ana"))
	kinds := strings.Join(events(t, db), " ")
	if kinds != "user_created login_ok login_ok user_disabled family_revoked family_revoked user_enabled login_ok" {
		t.Errorf("audit trail %q", kinds)
	}
	for _, act := range []func() error{
		func() error { return a.DisableUser(t.Context(), caller, "nobody") },
		func() error { return a.EnableUser(t.Context(), caller, "a\x00b") },
	} {
		if err := act(); !errors.Is(err, auth.ErrUserNotFound) {
			t.Errorf("error %v, want ErrUserNotFound", err)
		}
	}
	a.wantInvariants(t)
}
