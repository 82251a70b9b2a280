package auth_test

import (
	"errors"
	"testing"
	"time"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

const adminMaxAge = 15 * time.Minute

func withAdminMaxAge(c *auth.Config, _ *[]string) { c.AdminMaxAge = adminMaxAge }

func (r replica) addAdmin(t testing.TB, name string) account.User {
	t.Helper()
	user, err := r.CreateUser(t.Context(), caller, name, userPassword, account.RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func (r replica) wantAdmin(t testing.TB, tokens auth.Tokens, want error) {
	t.Helper()
	if _, err := r.AuthenticateAdmin(t.Context(), tokens.AccessToken); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// Past the blacklist, as it is for a moment on a replica that has not heard yet.
func TestAuthenticateAdmin_AsksTheDatabaseAlways(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"role taken away": `UPDATE users SET role = 'user', version = version + 1`,
		"disabled":        `UPDATE users SET disabled_at = clock_timestamp(), version = version + 1`,
		"session ended":   `UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = 'by hand', revoked_by = 'test'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db, withAdminMaxAge).feed(t, db.URL())
			r.addAdmin(t, "boss")
			tokens := r.login(t, "boss")
			r.wantAdmin(t, tokens, nil)
			db.Exec(t, change)
			r.hear(t)
			if _, err := r.Authenticate(t.Context(), tokens.AccessToken); err != nil {
				t.Fatalf("the blacklist does not vouch for the token: %v", err)
			}
			r.wantAdmin(t, tokens, auth.ErrInvalidAccessToken)
		})
	}
}

func TestAuthenticateAdmin_OnlyTheRoleAdmin(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, withAdminMaxAge)
	r.addUser(t, "ana")
	r.wantAdmin(t, r.login(t, "ana"), auth.ErrNotAdmin)
	for _, garbage := range []string{"", "x", r.login(t, "ana").RefreshToken} {
		r.wantAdmin(t, auth.Tokens{AccessToken: garbage}, auth.ErrInvalidAccessToken)
	}
	// A role that is given later counts once a refresh has brought it.
	tokens := r.login(t, "ana")
	db.Exec(t, `UPDATE users SET role = 'admin', version = version + 1`)
	r.wantAdmin(t, tokens, auth.ErrInvalidAccessToken)
	r.wantAdmin(t, r.refresh(t, tokens.RefreshToken), nil)
}

func TestAuthenticateAdmin_LoginOfAWhileAgo(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Freeze(t, time.Now().Truncate(time.Second)) // auth_time has whole seconds
	r := newReplica(t, db, withAdminMaxAge)
	r.addAdmin(t, "boss")
	tokens := r.login(t, "boss")
	db.Advance(t, adminMaxAge)
	tokens = r.refresh(t, tokens.RefreshToken)
	r.wantAdmin(t, tokens, nil)
	db.Advance(t, time.Second)
	r.wantAdmin(t, tokens, auth.ErrStaleLogin)
	tokens = r.refresh(t, tokens.RefreshToken)
	r.wantAdmin(t, tokens, auth.ErrStaleLogin)
	r.wantAdmin(t, r.login(t, "boss"), nil)
}
