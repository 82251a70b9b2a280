package auth_test

import (
	"errors"
	"testing"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// I9: introspecting neither rotates nor revokes, and an old generation is no reuse.
func TestIntrospect_ChangesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	api := r.addClient(t, "api", account.ConfidentialClient, true)
	first := r.loginBy(t, api, "ana")
	second := r.refreshBy(t, api, first.RefreshToken)
	own := r.login(t, "ana")
	db.Advance(t, interval)
	before, eventsBefore := state(t, db), len(events(t, db))
	for name, c := range map[string]struct {
		presented string
		active    bool
	}{
		"access token": {second.AccessToken, true}, "older access token": {first.AccessToken, true}, "another client's access token": {own.AccessToken, true},
		"current refresh token": {second.RefreshToken, true}, "old refresh token": {first.RefreshToken, false},
		"another client's refresh token": {own.RefreshToken, false}, "forged": {forge(t, second.RefreshToken, false), false},
		"no such token": {forge(t, second.RefreshToken, true), false}, "noise": {"noise", false},
	} {
		found, err := r.Introspect(t.Context(), api, c.presented)
		if err != nil || found.Active != c.active {
			t.Errorf("%s: active %v, error %v", name, found.Active, err)
		}
		if !c.active && found.User.Username != "" {
			t.Errorf("%s: tells of %q", name, found.User.Username)
		}
	}
	if after := state(t, db); after != before {
		t.Errorf("introspecting changed\n%s to\n%s", before, after)
	}
	if n := len(events(t, db)); n != eventsBefore {
		t.Errorf("the audit trail gained %d events", n-eventsBefore)
	}
	r.refreshBy(t, api, second.RefreshToken)
}

// A check allows for clocks that differ; introspection goes by the database's alone (RFC 7662 §4).
func TestIntrospect_ExpiredIsInactiveToTheSecond(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	api := r.addClient(t, "api", account.ConfidentialClient, true)
	tokens := r.login(t, "ana")
	db.Advance(t, access)
	r.wantSignedIn(t, tokens)
	if found, err := r.Introspect(t.Context(), api, tokens.AccessToken); err != nil || found.Active {
		t.Errorf("active %v, error %v", found.Active, err)
	}
}

// What Introspect says comes from the database, though the blacklist is fresh and knows nothing.
func TestIntrospect_AsksTheDatabaseAlways(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db).feed(t, db.URL())
	r.addUser(t, "ana")
	api := r.addClient(t, "api", account.ConfidentialClient, true)
	tokens := r.login(t, "ana")
	db.Exec(t, `UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = 'by hand', revoked_by = 'test'`) // past the blacklist
	r.hear(t)
	if _, err := r.Authenticate(t.Context(), tokens.AccessToken); err != nil {
		t.Fatalf("the blacklist does not vouch for the token: %v", err)
	}
	if found, err := r.Introspect(t.Context(), api, tokens.AccessToken); err != nil || found.Active {
		t.Errorf("active %v, error %v", found.Active, err)
	}
}

func TestIntrospect_WhoMay(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	shop, phone := r.addClient(t, "shop", account.ConfidentialClient, false), r.addClient(t, "phone", account.PublicClient, false)
	for _, c := range []struct {
		client auth.ClientCredentials
		want   error
	}{
		{auth.ClientCredentials{}, auth.ErrInvalidClient}, {phone, auth.ErrInvalidClient}, {shop, auth.ErrMayNotIntrospect},
		{auth.ClientCredentials{ID: "shop"}, auth.ErrInvalidClient}, {auth.ClientCredentials{ID: "shop", Secret: "x"}, auth.ErrInvalidClient},
	} {
		if found, err := r.Introspect(t.Context(), c.client, tokens.AccessToken); !errors.Is(err, c.want) || found.Active {
			t.Errorf("%q: active %v, error %v, want %v", c.client.ID, found.Active, err, c.want)
		}
	}
}

// The figures of docs/decisions/one-statement.md.
func TestStatements_OfRevokeAndIntrospect(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	api := r.addClient(t, "api", account.ConfidentialClient, true)
	own, ofAPI := r.login(t, "ana"), r.loginBy(t, api, "ana")
	introspect := func(presented string) func() error {
		return func() error { _, err := r.Introspect(t.Context(), api, presented); return err }
	}
	revoke := func(client auth.ClientCredentials, presented string) func() error {
		return func() error { return r.Revoke(t.Context(), caller, client, presented) }
	}
	for _, c := range []struct {
		name string
		act  func() error
		want int
	}{
		{"introspect an access token", introspect(own.AccessToken), 2},
		{"introspect a refresh token", introspect(ofAPI.RefreshToken), 2},
		{"introspect noise", introspect("noise"), 1},
		{"revoke noise", revoke(auth.ClientCredentials{}, "noise"), 0},
		{"revoke an access token", revoke(auth.ClientCredentials{}, own.AccessToken), 6},
		{"revoke a refresh token", revoke(auth.ClientCredentials{}, own.RefreshToken), 6},
		{"revoke one of a registered client", revoke(api, ofAPI.RefreshToken), 7},
	} {
		r.statements.take()
		if err := c.act(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if list := r.statements.take(); len(list) != c.want {
			t.Errorf("%s: %d statements, want %d: %q", c.name, len(list), c.want, list)
		}
	}
}
