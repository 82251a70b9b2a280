package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/password"
	"kindred/internal/testdb"
)

func TestLogin_UnknownWrongAndDisabledAreRefusedAlike(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.addUser(t, "shut")
	if err := r.DisableUser(t.Context(), caller, "shut"); err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]auth.LoginRequest{
		"unknown":           {Username: "nobody", Password: userPassword},
		"wrong":             {Username: "ana", Password: "wrong horse battery"},
		"disabled":          {Username: "shut", Password: userPassword},
		"impossible name":   {Username: "a\nb", Password: userPassword},
		"no name":           {Password: userPassword},
		"short password":    {Username: "ana", Password: "x"},
		"endless password":  {Username: "ana", Password: strings.Repeat("x", 2000)},
		"password with end": {Username: "ana", Password: userPassword + "\x00"},
	} {
		if _, err := r.Login(t.Context(), caller, request); !errors.Is(err, auth.ErrInvalidCredentials) {
			t.Errorf("%s: error %v, want ErrInvalidCredentials", name, err)
		}
	}
	// A password that nobody can have guesses nothing and leaves nothing behind.
	if n := count(events(t, db), "login_refused"); n != 5 {
		t.Errorf("%d refusals in the audit trail, want 5", n)
	}
	if n := one[int](t, db, `SELECT count(*) FROM throttle WHERE scope = 'name'`); n != 5 {
		t.Errorf("%d names are counted, want 5", n)
	}
}

// People type their password into the name field.
func TestLogin_UnknownNameIsNeverKept(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	for _, typed := range []string{"hunter2hunter2", "hunter2hunter2", "another"} {
		if _, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: typed, Password: userPassword}); !errors.Is(err, auth.ErrInvalidCredentials) {
			t.Fatal(err)
		}
	}
	trail := one[string](t, db, `SELECT jsonb_agg(e)::text FROM audit_events e`)
	if strings.Contains(trail, "hunter2") {
		t.Errorf("the name is in the audit trail: %s", trail)
	}
	if tags := one[int](t, db, `SELECT count(DISTINCT detail->>'name_tag') FROM audit_events`); tags != 2 {
		t.Errorf("%d different tags for two names", tags)
	}
}

func TestLogin_EverySpellingOfTheName(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "Zoë")
	for _, typed := range []string{"zoë", "ZOE\u0308", "Zoe\u0308"} {
		r.login(t, typed)
	}
}

func TestLogin_RehashesAnImportedHash(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	imported, err := bcrypt.GenerateFromPassword([]byte(userPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `UPDATE users SET password_hash = $1`, string(imported))
	tokens := r.login(t, "ana")
	hash := one[string](t, db, `SELECT password_hash FROM users`)
	if !strings.HasPrefix(hash, "$argon2id$") {
		t.Errorf("hash after the login: %.12s…", hash)
	}
	r.login(t, "ana")
	if again := one[string](t, db, `SELECT password_hash FROM users`); again != hash {
		t.Error("the second login hashed once more")
	}
	r.wantSignedIn(t, tokens) // the password did not change, so nobody is signed out
}

// The password is checked before the user's row is held. What happens in between must count.
func TestLogin_PasswordChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, samePassword := range map[string]bool{"to another": false, "rehashed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			other := userPassword
			if !samePassword {
				other = "another horse battery"
			}
			if _, err := r.CreateUser(t.Context(), caller, "donor", other, account.RoleUser); err != nil {
				t.Fatal(err)
			}
			holder := db.Conn(t)
			tx, err := holder.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE username = 'donor') WHERE username = 'ana'`); err != nil {
				t.Fatal(err)
			}
			var loginErr error
			whileBlocked(t, db, func() {
				_, loginErr = r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
			}, func() {
				if err := tx.Commit(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if samePassword && loginErr != nil {
				t.Errorf("error %v, want a login by the new hash of the same password", loginErr)
			}
			if !samePassword && !errors.Is(loginErr, auth.ErrInvalidCredentials) {
				t.Errorf("error %v, want ErrInvalidCredentials: the old password was let in", loginErr)
			}
		})
	}
}

func TestLogin_DisabledMeanwhile(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE users SET disabled_at = clock_timestamp(), version = version + 1`); err != nil {
		t.Fatal(err)
	}
	var loginErr error
	whileBlocked(t, db, func() {
		_, loginErr = r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
	}, func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(loginErr, auth.ErrInvalidCredentials) {
		t.Errorf("error %v, want ErrInvalidCredentials", loginErr)
	}
	r.wantInvariants(t)
}

func TestRegister(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	open := newReplica(t, db)
	closed := newReplica(t, db, func(c *auth.Config, _ *[]string) { c.RegistrationOpen = false })
	if _, err := closed.Register(t.Context(), caller, "ana", userPassword); !errors.Is(err, auth.ErrRegistrationClosed) {
		t.Errorf("closed: error %v", err)
	}
	user, err := open.Register(t.Context(), caller, "Ana", userPassword)
	if err != nil || user.Role != account.RoleUser || user.Username != "Ana" {
		t.Errorf("registered %+v, error %v", user, err)
	}
	if _, err := open.Register(t.Context(), caller, "ANA", userPassword); !errors.Is(err, auth.ErrUsernameTaken) {
		t.Errorf("taken: error %v", err)
	}
	var invalid *account.InvalidError
	strict := newReplica(t, db, func(c *auth.Config, _ *[]string) { c.Passwords = account.PasswordPolicy{} })
	if _, err := strict.Register(t.Context(), caller, "bob", "short"); !errors.As(err, &invalid) || invalid.Field != "password" {
		t.Errorf("short password: error %v", err)
	}
	if _, err := open.Register(t.Context(), caller, " bob", userPassword); !errors.As(err, &invalid) || invalid.Field != "username" {
		t.Errorf("name with a space: error %v", err)
	}
	if stored := one[string](t, db, `SELECT password_hash FROM users`); strings.Contains(stored, userPassword) {
		t.Error("the password is stored in clear")
	}
}

// In a flood whoever comes beyond the queue is sent away before the database is asked for anything.
func TestLogin_BeyondTheQueueCostsNoStatement(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	device := r.login(t, "ana").DeviceToken
	var leave []func()
	for l, err := r.hasher.Admit(password.Strangers); err == nil; l, err = r.hasher.Admit(password.Strangers) {
		leave = append(leave, l)
	}
	r.statements.take()
	if err := r.loginWith(t, "ana", userPassword); !errors.Is(err, auth.ErrBusy) {
		t.Errorf("login: error %v, want ErrBusy", err)
	}
	if _, err := r.Register(t.Context(), caller, "bob", userPassword); !errors.Is(err, auth.ErrBusy) {
		t.Errorf("register: error %v, want ErrBusy", err)
	}
	if list := r.statements.take(); len(list) != 0 {
		t.Errorf("%d statements for who is sent away: %q", len(list), list)
	}
	if _, err := r.try(t, "ana", userPassword, device); err != nil {
		t.Errorf("on a known device, which stands in a line of its own: %v", err)
	}
	for _, l := range leave {
		l()
	}
	r.login(t, "ana")
}

// Who waits for the service of breached passwords takes no place among those that hash: its trouble would keep
// everybody from logging in.
func TestRegister_LeavesItsPlaceToLoginsBeforeTheBreachLookUp(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := func(c *auth.Config, _ *[]string) {
		c.Breached = func(context.Context, string) (bool, error) {
			asked <- struct{}{}
			<-answer
			return false, nil
		}
	}
	db := testdb.New(t)
	newReplica(t, db).addUser(t, "ana")
	r := newReplica(t, db, slow)
	var leave []func()
	for l, err := r.hasher.Admit(password.Strangers); err == nil; l, err = r.hasher.Admit(password.Strangers) {
		leave = append(leave, l)
	}
	for _, l := range leave {
		l()
	}
	var registering sync.WaitGroup
	for i := range leave {
		registering.Go(func() {
			if _, err := r.Register(t.Context(), caller, fmt.Sprintf("user%d", i), userPassword); err != nil && !errors.Is(err, auth.ErrUnavailable) {
				t.Error(err)
			}
		})
		<-asked
	}
	if err := r.loginWith(t, "ana", userPassword); err != nil {
		t.Errorf("login beside %d look-ups: %v", len(leave), err)
	}
	close(answer)
	registering.Wait()
}
