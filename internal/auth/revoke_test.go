package auth_test

import (
	"errors"
	"testing"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

func (r replica) revoke(t testing.TB, client auth.ClientCredentials, presented string) {
	t.Helper()
	if err := r.Revoke(t.Context(), caller, client, presented); err != nil {
		t.Errorf("revoke: %v", err)
	}
}

// What was revoked is refused on this replica before anybody is told, without asking the database.
func TestRevoke_IsOnTheOwnBlacklistAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	for name, presented := range map[string]func(auth.Tokens) string{
		"access token":  func(tokens auth.Tokens) string { return tokens.AccessToken },
		"refresh token": func(tokens auth.Tokens) string { return tokens.RefreshToken },
	} {
		tokens := a.login(t, "ana")
		a.wantSignedIn(t, tokens)
		a.revoke(t, auth.ClientCredentials{}, presented(tokens))
		a.statements.take()
		a.wantSignedOut(t, tokens)
		if list := a.statements.take(); len(list) != 0 {
			t.Errorf("%s: the own blacklist does not have it: %q", name, list)
		}
		b.wantSignedOut(t, tokens)
	}
	if by := one[string](t, db, `SELECT revoked_reason || ' ' || revoked_by FROM token_families WHERE revoked_at IS NOT NULL`); by != "token_revoked client:kindred" {
		t.Errorf("ended as %q", by)
	}
	if detail := one[string](t, db, `SELECT actor || ' ' || client_id || ' ' || (detail ? 'jti') FROM audit_events WHERE kind = 'token_revoked'`); detail != "client:kindred kindred true" {
		t.Errorf("audited as %q", detail)
	}
	a.wantInvariants(t)
}

// I9: tokens that are not the client's, or not there, stay what they are.
func TestRevoke_OfWhatIsNotItsOwnChangesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	shop, phone := r.addClient(t, "shop", account.ConfidentialClient, false), r.addClient(t, "phone", account.PublicClient, false)
	ofShop, own := r.loginBy(t, shop, "ana"), r.login(t, "ana")
	ended, second := r.login(t, "ana"), r.login(t, "ana")
	r.revoke(t, auth.ClientCredentials{}, ended.RefreshToken)
	foreign := newReplica(t, db, withSecrets("another secret altogether, long enough too")).login(t, "ana")
	before, eventsBefore := state(t, db), len(events(t, db))
	for name, c := range map[string]struct {
		client    auth.ClientCredentials
		presented string
		audited   int
		want      error
	}{
		"another's refresh token":          {phone, ofShop.RefreshToken, 0, auth.ErrTokenOfAnother},
		"another's refresh token, unnamed": {auth.ClientCredentials{}, ofShop.RefreshToken, 0, auth.ErrTokenOfAnother},
		"another's access token":           {phone, ofShop.AccessToken, 0, auth.ErrTokenOfAnother},
		"the built-in client's":            {shop, own.RefreshToken, 0, auth.ErrTokenOfAnother},
		"the built-in client's access":     {shop, own.AccessToken, 0, auth.ErrTokenOfAnother},
		"forged for another's family":      {phone, forge(t, ofShop.RefreshToken, false), 0, auth.ErrTokenOfAnother},
		"forged: no such token":            {auth.ClientCredentials{}, forge(t, own.RefreshToken, true), 1, nil},
		"forged: another hash":             {auth.ClientCredentials{}, forge(t, second.RefreshToken, false), 1, nil},
		"of a family that ended":           {auth.ClientCredentials{}, ended.RefreshToken, 0, nil},
		"access token of a family's past":  {auth.ClientCredentials{}, ended.AccessToken, 0, nil},
		"of another server":                {auth.ClientCredentials{}, foreign.RefreshToken, 0, nil},
		"noise":                            {auth.ClientCredentials{}, "noise", 0, nil},
	} {
		if err := r.Revoke(t.Context(), caller, c.client, c.presented); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if after := state(t, db); after != before {
			t.Fatalf("%s: changed\n%s to\n%s", name, before, after)
		}
		if n := len(events(t, db)); n != eventsBefore+c.audited {
			t.Errorf("%s: the audit trail gained %d events, want %d", name, n-eventsBefore, c.audited)
		}
		eventsBefore = len(events(t, db))
	}
	if err := r.Revoke(t.Context(), caller, auth.ClientCredentials{ID: "shop", Secret: "x"}, ofShop.RefreshToken); !errors.Is(err, auth.ErrInvalidClient) {
		t.Errorf("error %v, want ErrInvalidClient", err)
	}
	if after := state(t, db); after != before {
		t.Error("a client that was not believed changed something")
	}
	r.refreshBy(t, shop, ofShop.RefreshToken)
	r.refresh(t, own.RefreshToken)
}

// Whoever holds one refresh token makes access tokens without end: they must not fill the blacklist.
func TestRevoke_TooManyTokensEndTheFamily(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	bystander := r.login(t, "ana")
	tokens := r.login(t, "ana")
	for range 16 {
		r.revoke(t, auth.ClientCredentials{}, tokens.AccessToken)
		r.revoke(t, auth.ClientCredentials{}, tokens.AccessToken) // once is enough
		tokens = r.refresh(t, tokens.RefreshToken)
	}
	r.wantSignedIn(t, tokens)
	if n := count(events(t, db), "token_revoked"); n != 16 {
		t.Errorf("%d tokens revoked in the audit trail, want 16", n)
	}
	r.revoke(t, auth.ClientCredentials{}, tokens.AccessToken)
	r.wantSignedOut(t, tokens)
	r.wantRefused(t, tokens.RefreshToken)
	if by := one[string](t, db, `SELECT revoked_reason || ' ' || revoked_by FROM token_families WHERE revoked_at IS NOT NULL`); by != "token_limit kindred" {
		t.Errorf("ended as %q", by)
	}
	if n := one[int](t, db, `SELECT count(*) FROM revocations WHERE kind = 'token'`); n != 16 {
		t.Errorf("%d tokens on the blacklist, want 16", n)
	}
	r.wantSignedIn(t, bystander)
	r.wantInvariants(t)
}

func TestRevoke_TroubleIsSaidAndRevokesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	db.Exec(t, `ALTER TABLE revocations RENAME TO elsewhere`)
	for _, presented := range []string{tokens.AccessToken, tokens.RefreshToken} {
		if err := r.Revoke(t.Context(), caller, auth.ClientCredentials{}, presented); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
	}
	db.Exec(t, `ALTER TABLE elsewhere RENAME TO revocations`)
	r.wantSignedIn(t, tokens)
	r.refresh(t, tokens.RefreshToken)
}
