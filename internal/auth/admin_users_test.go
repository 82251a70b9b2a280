package auth_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// listed reads all pages of a list.
func (r replica) listed(t testing.TB, q auth.UserQuery) (names []string) {
	t.Helper()
	for {
		page, err := r.Users(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range page.Users {
			names = append(names, user.Username)
		}
		if page.Next == "" {
			return names
		}
		q.Cursor = page.Next
	}
}

func TestUsers_EachOnceWhateverThePage(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	// The last name has a key of 128 characters.
	want := []string{"%", "Ana", "ana_", "ANA|", "b", "Étienne", "李", strings.Repeat("ß", 64)}
	for _, name := range want {
		r.addUser(t, name)
	}
	want = []string{"%", "Ana", "ana_", "ANA|", "b", strings.Repeat("ß", 64), "Étienne", "李"} // by the bytes of the keys
	db.Exec(t, `INSERT INTO users (id, role, created_at, password_changed_at, deleted_at) SELECT gen_random_uuid(), 'user', now(), now(), now()`)
	for limit := 1; limit <= len(want)+1; limit++ {
		if got := r.listed(t, auth.UserQuery{Page: auth.Page{Limit: limit}}); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %q, want %q", limit, got, want)
		}
	}
	// A cursor means a place, and not a user, who may be gone.
	page, err := r.Users(t.Context(), auth.UserQuery{Page: auth.Page{Limit: 2}})
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `UPDATE users SET deleted_at = now(), username = NULL, username_key = NULL, password_hash = NULL WHERE username IN ('Ana', 'ana_')`)
	if got := r.listed(t, auth.UserQuery{Page: auth.Page{Limit: 2, Cursor: page.Next}}); !slices.Equal(got, want[3:]) {
		t.Errorf("%q, want %q", got, want[3:])
	}
}

func TestUsers_Filters(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	for _, name := range []string{"ana", "anatol", "a_a", "aXa", "bob"} {
		r.addUser(t, name)
	}
	r.addAdmin(t, "anke")
	if err := r.DisableUser(t.Context(), caller, "anatol"); err != nil {
		t.Fatal(err)
	}
	for want, q := range map[string]auth.UserQuery{
		"[ana anatol anke]":             {Search: "AN"},
		"[a_a]":                         {Search: "a_"},
		"[]":                            {Search: "%"},
		"[anke]":                        {Role: "admin"},
		"[anatol]":                      {State: "disabled"},
		"[ana anke]":                    {Search: "an", State: "enabled"},
		"[a_a ana anatol anke axa bob]": {State: "all"},
	} {
		q.Limit = 2
		if got := strings.ToLower(fmt.Sprint(r.listed(t, q))); got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
}

func TestUsers_RefusesWhatNoPageIs(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	for parameter, q := range map[string]auth.UserQuery{
		"limit":  {Page: auth.Page{Limit: auth.MaxPage + 1}},
		"state":  {State: "gone", Page: auth.Page{Limit: 1}},
		"cursor": {Page: auth.Page{Limit: 1, Cursor: "%"}},
	} {
		_, err := r.Users(t.Context(), q)
		var refused *auth.QueryError
		if !errors.As(err, &refused) || refused.Parameter != parameter {
			t.Errorf("%s: error %v", parameter, err)
		}
	}
}

// Somebody may have taken the id of a user for a name, and must not be met in that user's place.
func TestUser_WhatIsWrittenLikeAnIDIsNoName(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	ana := r.addUser(t, "ana")
	impostor := r.addUser(t, ana.ID.String())
	db.Exec(t, `UPDATE users SET deleted_at = now(), username = NULL, username_key = NULL, password_hash = NULL WHERE username = 'ana'`)
	if err := r.DisableUser(t.Context(), caller, ana.ID.String()); !errors.Is(err, auth.ErrUserNotFound) {
		t.Errorf("error %v, want ErrUserNotFound", err)
	}
	r.login(t, ana.ID.String()) // who can log in all the same
	if user, err := r.User(t.Context(), impostor.ID.String()); err != nil || user.ID != impostor.ID {
		t.Errorf("user %v, error %v", user.ID, err)
	}
	// Other spellings of an id are names like any other.
	short := strings.ReplaceAll(uuid.NewString(), "-", "")
	r.addUser(t, short)
	if user, err := r.User(t.Context(), short); err != nil || user.Username != short {
		t.Errorf("user %q, error %v", user.Username, err)
	}
}

func TestMayChange_AnybodyButOneself(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	who := auth.Identity{User: account.User{ID: id}}
	if err := who.MayChange(id); !errors.Is(err, auth.ErrOwnAccount) {
		t.Errorf("error %v, want ErrOwnAccount", err)
	}
	if err := who.MayChange(uuid.New()); err != nil {
		t.Error(err)
	}
}
