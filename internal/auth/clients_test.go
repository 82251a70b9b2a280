package auth_test

import (
	"errors"
	"strings"
	"testing"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

var operator = auth.Caller{Actor: "cli"}

// addClient makes a client and returns how it names itself.
func (r replica) addClient(t testing.TB, id string, kind account.ClientType, mayIntrospect bool) auth.ClientCredentials {
	t.Helper()
	secret, err := r.AddClient(t.Context(), operator, account.Client{ID: id, Name: id, Type: kind, MayIntrospect: mayIntrospect})
	if err != nil {
		t.Fatal(err)
	}
	return auth.ClientCredentials{ID: id, Secret: secret.Reveal()}
}

func (r replica) loginBy(t testing.TB, client auth.ClientCredentials, name string) auth.Tokens {
	t.Helper()
	tokens, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: name, Password: userPassword, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func (r replica) refreshBy(t testing.TB, client auth.ClientCredentials, refreshToken string) auth.Tokens {
	t.Helper()
	tokens, err := r.Refresh(t.Context(), caller, refreshToken, client)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestRefresh_OfARegisteredClientCostsOneStatementMore(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	for _, client := range []auth.ClientCredentials{
		r.addClient(t, "shop", account.ConfidentialClient, false), r.addClient(t, "phone", account.PublicClient, false),
	} {
		tokens := r.refreshBy(t, client, r.loginBy(t, client, "ana").RefreshToken)
		r.statements.take()
		next := r.refreshBy(t, client, tokens.RefreshToken)
		if list := r.statements.take(); len(list) != 2 {
			t.Errorf("%s: %d statements for a happy refresh: %q", client.ID, len(list), list)
		}
		if who := r.wantSignedIn(t, next); who.ClientID != client.ID {
			t.Errorf("the access token is of client %q, want %q", who.ClientID, client.ID)
		}
	}
	r.wantInvariants(t)
}

// Unknown, disabled and wrong cost the same: time must not tell which of them it was.
func TestClient_RefusalsAreTheSameWork(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	shop, phone := r.addClient(t, "shop", account.ConfidentialClient, false), r.addClient(t, "phone", account.PublicClient, false)
	gone := r.addClient(t, "gone", account.ConfidentialClient, false)
	if err := r.DisableClient(t.Context(), operator, "gone"); err != nil {
		t.Fatal(err)
	}
	tokens := r.loginBy(t, shop, "ana")
	for name, c := range map[string]struct {
		client     auth.ClientCredentials
		statements int
		want       error
	}{
		"no such client":                {auth.ClientCredentials{ID: "nobody", Secret: shop.Secret}, 1, auth.ErrInvalidClient},
		"wrong secret":                  {auth.ClientCredentials{ID: "shop", Secret: gone.Secret}, 1, auth.ErrInvalidClient},
		"disabled":                      {gone, 1, auth.ErrInvalidClient},
		"a secret of a public client":   {auth.ClientCredentials{ID: "phone", Secret: shop.Secret}, 1, auth.ErrInvalidClient},
		"no such client, no secret":     {auth.ClientCredentials{ID: "nobody"}, 1, auth.ErrUnknownClient},
		"confidential without a secret": {auth.ClientCredentials{ID: "shop"}, 1, auth.ErrUnknownClient},
		"disabled, no secret":           {auth.ClientCredentials{ID: "gone"}, 1, auth.ErrUnknownClient},
		"a secret of the built-in":      {auth.ClientCredentials{ID: "kindred", Secret: shop.Secret}, 0, auth.ErrInvalidClient},
		"a secret without an id":        {auth.ClientCredentials{Secret: shop.Secret}, 0, auth.ErrInvalidClient},
		"an id that nobody can have":    {auth.ClientCredentials{ID: "shop\x00", Secret: shop.Secret}, 0, auth.ErrInvalidClient},
	} {
		r.statements.take()
		_, err := r.Refresh(t.Context(), caller, tokens.RefreshToken, c.client)
		if !errors.Is(err, c.want) || errors.Is(err, auth.ErrUnknownClient) != (c.want == auth.ErrUnknownClient) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if list := r.statements.take(); len(list) != c.statements {
			t.Errorf("%s: %d statements, want %d: %q", name, len(list), c.statements, list)
		}
	}
	r.refreshBy(t, shop, tokens.RefreshToken)
	r.refreshBy(t, phone, r.loginBy(t, phone, "ana").RefreshToken)
}

// I9, RFC 6749 §6: a family belongs to the client that began it. Another one's request changes nothing,
// not even by a token that its own client could not use again.
func TestRefresh_AnotherClientChangesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	shop, other := r.addClient(t, "shop", account.ConfidentialClient, false), r.addClient(t, "other", account.ConfidentialClient, false)
	phone := r.addClient(t, "phone", account.PublicClient, false)
	for _, owner := range []auth.ClientCredentials{shop, phone, {}} {
		first := r.loginBy(t, owner, "ana")
		second := r.refreshBy(t, owner, first.RefreshToken)
		db.Advance(t, interval)
		before, eventsBefore := state(t, db), len(events(t, db))
		for _, stranger := range []auth.ClientCredentials{shop, other, phone, {}} {
			if stranger == owner {
				continue
			}
			for _, presented := range []string{first.RefreshToken, second.RefreshToken} {
				if _, err := r.Refresh(t.Context(), caller, presented, stranger); !errors.Is(err, auth.ErrInvalidRefreshToken) {
					t.Errorf("%q with a token of %q: error %v, want ErrInvalidRefreshToken", stranger.ID, owner.ID, err)
				}
			}
		}
		if after := state(t, db); after != before {
			t.Errorf("requests of others changed the family of %q from\n%s to\n%s", owner.ID, before, after)
		}
		if n := len(events(t, db)); n != eventsBefore {
			t.Errorf("the audit trail gained %d events", n-eventsBefore)
		}
		r.refreshBy(t, owner, second.RefreshToken)
	}
	r.wantInvariants(t)
}

func TestAddClient_TheSecretIsKeptNowhere(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	shop := r.addClient(t, "shop", account.ConfidentialClient, true)
	phone := r.addClient(t, "phone", account.PublicClient, false)
	if phone.Secret != "" {
		t.Error("a public client has a secret")
	}
	rotated, err := r.RotateClientSecret(t.Context(), operator, "shop")
	if err != nil || rotated.Reveal() == shop.Secret {
		t.Fatalf("rotated to the same secret, or error %v", err)
	}
	dump := one[string](t, db, `SELECT (SELECT jsonb_agg(c)::text FROM clients c) || (SELECT jsonb_agg(e)::text FROM audit_events e)`)
	for _, secret := range []string{shop.Secret, rotated.Reveal()} {
		if strings.Contains(dump, strings.TrimPrefix(secret, "kcs_")) {
			t.Error("a secret is in the database in clear")
		}
	}
	wantContains(t, dump, `"client_id": "shop"`, `"may_introspect": true`, `"actor": "cli"`)
	if kinds := strings.Join(events(t, db), " "); kinds != "client_added client_added client_secret_rotated" {
		t.Errorf("audit trail %q", kinds)
	}
	list, err := r.Clients(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "phone" || list[1].SecretHash != rotated.Hash() || !list[1].MayIntrospect {
		t.Errorf("clients %+v, error %v", list, err)
	}
}

func TestAddClient_Refusals(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addClient(t, "shop", account.ConfidentialClient, false)
	for name, c := range map[string]account.Client{
		"no id": {Name: "x", Type: "public"}, "the built-in": {ID: "kindred", Name: "x", Type: "public"},
		"bad id": {ID: "a b", Name: "x", Type: "public"}, "no name": {ID: "x", Type: "public"}, "no type": {ID: "x", Name: "x"},
		"bad type": {ID: "x", Name: "x", Type: "both"}, "public and introspecting": {ID: "x", Name: "x", Type: "public", MayIntrospect: true},
	} {
		var invalid *account.InvalidError
		if _, err := r.AddClient(t.Context(), operator, c); !errors.As(err, &invalid) {
			t.Errorf("%s: error %v, want *account.InvalidError", name, err)
		}
	}
	if _, err := r.AddClient(t.Context(), operator, account.Client{ID: "shop", Name: "x", Type: "public"}); !errors.Is(err, auth.ErrClientExists) {
		t.Errorf("taken: error %v, want ErrClientExists", err)
	}
	if n := one[int](t, db, `SELECT count(*) FROM clients`); n != 1 {
		t.Errorf("%d clients", n)
	}
}

func TestClient_OperatorsErrors(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addClient(t, "phone", account.PublicClient, false)
	r.addClient(t, "gone", account.ConfidentialClient, false)
	if err := r.DisableClient(t.Context(), operator, "gone"); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]error{
		"nobody": auth.ErrClientNotFound, "a\x00": auth.ErrClientNotFound, "kindred": auth.ErrClientNotFound,
		"phone": auth.ErrPublicClient, "gone": auth.ErrClientDisabled,
	} {
		if _, err := r.RotateClientSecret(t.Context(), operator, id); !errors.Is(err, want) {
			t.Errorf("rotate the secret of %q: error %v, want %v", id, err, want)
		}
	}
	for _, id := range []string{"nobody", "a\x00", "kindred"} {
		if err := r.DisableClient(t.Context(), operator, id); !errors.Is(err, auth.ErrClientNotFound) {
			t.Errorf("disable %q: error %v, want ErrClientNotFound", id, err)
		}
	}
}

// More families than one transaction ends.
func TestDisableClient_EndsAllItsFamilies(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	shop := a.addClient(t, "shop", account.ConfidentialClient, false)
	tokens, own := a.loginBy(t, shop, "ana"), a.login(t, "ana")
	const more = 250
	db.Exec(t, `INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id,
		            current_hash, rotated_at, idle_expires_at, access_until)
		        SELECT gen_random_uuid(), user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id,
		            current_hash, rotated_at, idle_expires_at, access_until
		          FROM token_families, generate_series(1, $1::int) WHERE client_id = 'shop'`, more)
	if err := a.DisableClient(t.Context(), operator, "shop"); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, db, `SELECT count(*) FROM token_families WHERE revoked_reason = 'client_disabled' AND revoked_by = 'cli'`); n != more+1 {
		t.Errorf("%d families ended, want %d", n, more+1)
	}
	if n := one[int](t, db, `SELECT count(*) FROM revocations WHERE kind = 'family'`); n != more+1 {
		t.Errorf("%d families on the blacklist, want %d", n, more+1)
	}
	kinds := events(t, db)
	if count(kinds, "client_disabled") != 1 || count(kinds, "family_revoked") != more+1 {
		t.Errorf("audit trail has %d client_disabled, %d family_revoked", count(kinds, "client_disabled"), count(kinds, "family_revoked"))
	}
	b.wantSignedOut(t, tokens)
	b.wantSignedIn(t, own)
	b.refresh(t, own.RefreshToken)

	// what an interrupted command left is ended by the next
	db.Exec(t, `UPDATE token_families SET revoked_at = NULL, revoked_reason = NULL, revoked_by = NULL WHERE id = $1`, familyIDOf(t, tokens))
	if err := a.DisableClient(t.Context(), operator, "shop"); err != nil {
		t.Fatal(err)
	}
	if n := one[int](t, db, `SELECT count(*) FROM token_families WHERE revoked_at IS NULL`); n != 1 {
		t.Errorf("%d families live, want the built-in client's", n)
	}
}

// The client is believed before its row is held. What happens in between must count.
func TestLogin_ClientDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	shop := r.addClient(t, "shop", account.ConfidentialClient, false)
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE clients SET disabled_at = clock_timestamp()`); err != nil {
		t.Fatal(err)
	}
	var loginErr error
	whileBlocked(t, db, func() {
		_, loginErr = r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword, Client: shop})
	}, func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(loginErr, auth.ErrInvalidClient) {
		t.Errorf("error %v, want ErrInvalidClient", loginErr)
	}
	if n := one[int](t, db, `SELECT count(*) FROM token_families`); n != 0 {
		t.Error("a family began through a disabled client")
	}
}

// A login that holds the client's row is waited for, and its family ends too.
func TestDisableClient_WaitsForALoginThatIsUnderWay(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.addClient(t, "shop", account.ConfidentialClient, false)
	r.login(t, "ana")
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{`SELECT FROM clients FOR SHARE`, `UPDATE token_families SET client_id = 'shop'`} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	whileBlocked(t, db, func() {
		if err := r.DisableClient(t.Context(), operator, "shop"); err != nil {
			t.Error(err)
		}
	}, func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if n := one[int](t, db, `SELECT count(*) FROM token_families WHERE revoked_at IS NULL`); n != 0 {
		t.Error("a family of the disabled client lives on")
	}
}
