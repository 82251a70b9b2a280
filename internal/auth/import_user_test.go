package auth_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// aHash is bcrypt of "password123", at the lowest cost.
const aHash = "$2a$04$LnEZZxU/PrfFar2zpISew.H7KcPu69EIK/JEr0iZj1/2APKuaycP6"

func countEvents(t testing.TB, db *testdb.DB, kind audit.Kind) int {
	t.Helper()
	return one[int](t, db, `SELECT count(*) FROM audit_events WHERE kind = '`+string(kind)+`'`)
}

// foreignHashes are made by other programs, of one password each.
func foreignHashes(t testing.TB) (list []struct{ Name, Password, Hash string }) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors/password_hashes.json")
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil || len(list) == 0 {
		t.Fatalf("%d vectors, error %v", len(list), err)
	}
	return list
}

// Each form lets its user in, with the password that was typed then, and is gone after that.
func TestImportUser_EachFormLogsInOnceAndIsRehashed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	for _, v := range foreignHashes(t) {
		if err := r.ImportUser(t.Context(), caller, auth.ImportedUser{Username: v.Name, PasswordHash: v.Hash}); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if _, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: v.Name, Password: v.Password + "!"}); !errors.Is(err, auth.ErrInvalidCredentials) {
			t.Errorf("%s, wrong password: error %v", v.Name, err)
		}
		for range 2 {
			if _, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: v.Name, Password: v.Password}); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
		user, err := r.User(t.Context(), v.Name)
		if err != nil || !strings.HasPrefix(user.PasswordHash, "$argon2id$v=19$m=64,t=1,p=1$") || user.Version != 1 {
			t.Errorf("%s: hash %.30s…, version %d, error %v", v.Name, user.PasswordHash, user.Version, err)
		}
	}
	if n := len(foreignHashes(t)); countEvents(t, db, audit.PasswordRehash) != n {
		t.Errorf("%d rehashed, want %d", countEvents(t, db, audit.PasswordRehash), n)
	}
}

func TestImportUser_KeepsWhatItBrings(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	id, created := uuid.Must(uuid.NewV7()), time.Date(2019, 5, 6, 7, 8, 9, 0, time.UTC)
	err := r.ImportUser(t.Context(), caller, auth.ImportedUser{
		Username: "Zoë", PasswordHash: aHash, Role: "editor", Claims: map[string]any{"plan": "gold"}, Disabled: true, CreatedAt: &created, ID: &id,
	})
	if err != nil {
		t.Fatal(err)
	}
	user, err := r.User(t.Context(), "ZOË")
	if err != nil || user.ID != id || user.Username != "Zoë" || user.Role != "editor" || user.Claims["plan"] != "gold" || user.DisabledAt == nil || !user.CreatedAt.Equal(created) {
		t.Errorf("%+v, error %v", user, err)
	}
	if _, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: "zoë", Password: "password123"}); !errors.Is(err, auth.ErrInvalidCredentials) {
		t.Errorf("a disabled user: error %v", err)
	}
	tomorrow := time.Now().Add(240 * time.Hour)
	if err := r.ImportUser(t.Context(), caller, auth.ImportedUser{Username: "ana", PasswordHash: aHash, CreatedAt: &tomorrow}); err != nil {
		t.Fatal(err)
	}
	if user, err := r.User(t.Context(), "ana"); err != nil || user.Role != account.RoleUser || user.CreatedAt.After(time.Now().Add(time.Hour)) {
		t.Errorf("%+v, error %v", user, err)
	}
}

func TestImportUser_Refusals(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	for field, list := range map[string][]auth.ImportedUser{
		"username":     {{Username: "", PasswordHash: aHash}, {Username: "a\u200b", PasswordHash: aHash}},
		"passwordHash": {{Username: "ana"}, {Username: "ana", PasswordHash: "$1$x$y"}, {Username: "ana", PasswordHash: strings.Replace(aHash, "$04$", "$31$", 1)}},
		"role":         {{Username: "ana", PasswordHash: aHash, Role: "A B"}},
		"id":           {{Username: "ana", PasswordHash: aHash, ID: &uuid.Nil}},
		"claims": {
			{Username: "ana", PasswordHash: aHash, Claims: map[string]any{"ROLE": "admin"}}, {Username: "ana", PasswordHash: aHash, Claims: map[string]any{"x": strings.Repeat("x", 4<<10)}},
			{Username: "ana", PasswordHash: aHash, Claims: map[string]any{"x": "a\x00"}},
		},
	} {
		for _, u := range list {
			var invalid *account.InvalidError
			if err := r.ImportUser(t.Context(), caller, u); !errors.As(err, &invalid) || invalid.Field != field || strings.Contains(err.Error(), "$") {
				t.Errorf("%+v: error %v, want one of %s", u, err, field)
			}
		}
	}
	if _, err := r.User(t.Context(), "ana"); !errors.Is(err, auth.ErrUserNotFound) {
		t.Errorf("a refused one stands: error %v", err)
	}
}

// The same file again, at the same time, and after the user's first login: one user, whom nothing changes.
func TestImportUser_AgainIsNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	u := auth.ImportedUser{Username: "Ana", PasswordHash: aHash}
	var added atomic.Int64
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			switch err := r.ImportUser(t.Context(), caller, u); {
			case err == nil:
				added.Add(1)
			case !errors.Is(err, auth.ErrUsernameTaken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if added.Load() != 1 || countEvents(t, db, audit.UserCreated) != 1 {
		t.Errorf("%d added, %d events", added.Load(), countEvents(t, db, audit.UserCreated))
	}
	if _, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: "password123"}); err != nil {
		t.Fatal(err)
	}
	before, err := r.User(t.Context(), "ana")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ImportUser(t.Context(), caller, auth.ImportedUser{Username: "ANA", PasswordHash: aHash, Role: "admin"}); !errors.Is(err, auth.ErrUsernameTaken) {
		t.Errorf("error %v", err)
	}
	if err := r.ImportUser(t.Context(), caller, auth.ImportedUser{Username: "bob", PasswordHash: aHash, ID: &before.ID}); !errors.Is(err, auth.ErrUserIDTaken) {
		t.Errorf("another user's id: error %v", err)
	}
	if after, err := r.User(t.Context(), "ana"); err != nil || after.PasswordHash != before.PasswordHash || after.Role != before.Role {
		t.Errorf("%+v, error %v", after, err)
	}
}

// Who guessed at the name before anybody had it keeps nobody out that is imported under it, however old the account.
func TestImportUser_GuessesFromBeforeAreVoid(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	for range 5 {
		r.wantWrong(t, "ana")
	}
	_, err := r.try(t, "ana", wrongPassword, "")
	wantThrottled(t, err)
	created := time.Date(2019, 5, 6, 7, 8, 9, 0, time.UTC)
	if err := r.ImportUser(t.Context(), caller, auth.ImportedUser{Username: "ana", PasswordHash: aHash, CreatedAt: &created}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.try(t, "ana", "password123", ""); err != nil {
		t.Error(err)
	}
}

// What the other system hashed is what was typed there, composed or not, whatever made the hash.
func TestImportUser_AsItWasTypedElsewhere(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	const decomposed = "cafe\u0301 au lait at nine"
	hash, err := r.hasher.Hash(t.Context(), decomposed) // of the kind that is made here too
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ImportUser(t.Context(), caller, auth.ImportedUser{Username: "ana", PasswordHash: hash}); err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{decomposed, norm.NFC.String(decomposed)} {
		if _, err := r.try(t, "ana", typed, ""); err != nil {
			t.Errorf("%+q: %v", typed, err)
		}
	}
}
