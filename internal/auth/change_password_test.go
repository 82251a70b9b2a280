package auth_test

import (
	"errors"
	"strings"
	"testing"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

const otherPassword = "another horse battery"

func (r replica) loginWith(t testing.TB, name, password string) error {
	t.Helper()
	_, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: name, Password: password})
	return err
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// wantInvalid wants the input of that field refused.
func wantInvalid(t testing.TB, err error, field string) {
	t.Helper()
	var invalid *account.InvalidError
	if !errors.As(err, &invalid) || invalid.Field != field {
		t.Errorf("error %v, want one about the %s", err, field)
	}
}

// endedBy lists why families of the database ended, in the order of their beginning.
func endedBy(t testing.TB, db *testdb.DB) string {
	t.Helper()
	return one[string](t, db, `SELECT coalesce(string_agg(coalesce(revoked_reason || ' by ' || split_part(revoked_by, ':', 1), 'alive'), ', ' ORDER BY id), '') FROM token_families`)
}

func TestChangePassword_EndsAllOtherSessionsAndKeepsThisOne(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	a.addUser(t, "bob")
	phone, laptop, bobs := a.login(t, "ana"), a.login(t, "ana"), a.login(t, "bob")
	changed := one[string](t, db, `SELECT password_changed_at::text FROM users WHERE username = 'ana'`)
	if err := a.ChangePassword(t.Context(), caller, a.wantSignedIn(t, laptop), userPassword, otherPassword); err != nil {
		t.Fatal(err)
	}
	b.wantRefused(t, phone.RefreshToken)
	for _, tokens := range []auth.Tokens{phone, laptop} {
		a.wantSignedOut(t, tokens)
		b.wantSignedOut(t, tokens)
	}
	b.wantSignedIn(t, b.refresh(t, laptop.RefreshToken))
	b.wantSignedIn(t, bobs)
	wantError(t, b.loginWith(t, "ana", userPassword), auth.ErrInvalidCredentials)
	wantError(t, b.loginWith(t, "ana", otherPassword), nil)
	if got := endedBy(t, db); got != "password_changed by user, alive, alive, alive" {
		t.Errorf("families: %s", got)
	}
	if kinds := events(t, db); count(kinds, "password_changed") != 1 || count(kinds, "family_revoked") != 1 {
		t.Errorf("audit trail %q", kinds)
	}
	if one[string](t, db, `SELECT password_changed_at::text FROM users WHERE username = 'ana'`) == changed {
		t.Error("password_changed_at did not move")
	}
	a.wantInvariants(t)
}

func TestChangePassword_RefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	who := r.wantSignedIn(t, r.login(t, "ana"))
	r.addUser(t, "shut")
	shut := r.wantSignedIn(t, r.login(t, "shut"))
	if err := r.DisableUser(t.Context(), operator, "shut"); err != nil {
		t.Fatal(err)
	}
	before := state(t, db)
	for _, wrong := range []string{"", "x", otherPassword, userPassword + " ", strings.Repeat("x", 2000)} {
		wantError(t, r.ChangePassword(t.Context(), caller, who, wrong, otherPassword), auth.ErrInvalidCredentials)
	}
	wantInvalid(t, r.ChangePassword(t.Context(), caller, who, userPassword, "short"), "password")
	wantError(t, r.ChangePassword(t.Context(), caller, shut, userPassword, otherPassword), auth.ErrInvalidCredentials)
	if state(t, db) != before {
		t.Error("something changed")
	}
}

// The password is checked before the user's row is held. What happens in between must count.
func TestChangePassword_PasswordChangedMeanwhile(t *testing.T) {
	t.Parallel()
	meanwhile(t, map[string]error{
		"to another": auth.ErrInvalidCredentials, "rehashed": nil, "disabled": auth.ErrInvalidCredentials, "deleted": auth.ErrInvalidCredentials,
	}, func(r replica, who auth.Identity) error {
		return r.ChangePassword(t.Context(), caller, who, userPassword, "a third horse battery")
	})
}

// meanwhile runs an act of the signed-in user, which has checked the password already when the user changes.
func meanwhile(t *testing.T, want map[string]error, act func(replica, auth.Identity) error) {
	for name, want := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			r.addUser(t, "same")
			if _, err := r.CreateUser(t.Context(), caller, "other", otherPassword, account.RoleUser); err != nil {
				t.Fatal(err)
			}
			who := r.wantSignedIn(t, r.login(t, "ana"))
			tx, err := db.Conn(t).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), map[string]string{
				"to another": `UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE username = 'other') WHERE username = 'ana'`,
				"rehashed":   `UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE username = 'same') WHERE username = 'ana'`,
				"disabled":   `UPDATE users SET disabled_at = clock_timestamp() WHERE username = 'ana'`,
				"deleted":    `UPDATE users SET deleted_at = clock_timestamp(), username = NULL, username_key = NULL, password_hash = NULL WHERE username = 'ana'`,
			}[name]); err != nil {
				t.Fatal(err)
			}
			var got error
			whileBlocked(t, db, func() { got = act(r, who) }, func() {
				if err := tx.Commit(t.Context()); err != nil {
					t.Error(err)
				}
			})
			wantError(t, got, want)
		})
	}
}

func TestSetPassword_EndsAllSessions(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	user := r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	if err := r.DisableUser(t.Context(), operator, "ana"); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.SetPassword(t.Context(), operator, user.ID.String(), otherPassword), nil)
	wantError(t, r.loginWith(t, "ana", otherPassword), auth.ErrInvalidCredentials) // disabled still
	if err := r.EnableUser(t.Context(), operator, "ana"); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.loginWith(t, "ana", otherPassword), nil)
	wantError(t, r.SetPassword(t.Context(), operator, "ANA", userPassword), nil)
	if got := endedBy(t, db); got != "user_disabled by cli, password_changed by cli" {
		t.Errorf("families: %s", got)
	}
	r.wantSignedOut(t, tokens)
	wantInvalid(t, r.SetPassword(t.Context(), operator, "ana", "short"), "password")
	wantError(t, r.SetPassword(t.Context(), operator, "nobody", otherPassword), auth.ErrUserNotFound)
	r.wantInvariants(t)
}
