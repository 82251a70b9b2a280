package auth_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"kindred/internal/auth"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

func TestKeys_WithASecretThereAreNone(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := keyed{replica: newReplica(t, db)}
	r.load(t)
	if set, _, err := r.KeySet(t.Context()); err != nil || string(set) != `{"keys":[]}` {
		t.Errorf("key set %s, error %v", set, err)
	}
	if _, err := r.RotateKey(t.Context(), caller); !errors.Is(err, auth.ErrNoKeyBox) {
		t.Errorf("rotate: error %v, want ErrNoKeyBox", err)
	}
	if _, err := r.RevokeKey(t.Context(), caller, "x"); !errors.Is(err, auth.ErrNoKeyBox) {
		t.Errorf("revoke: error %v, want ErrNoKeyBox", err)
	}
	if _, err := r.ReencryptKeys(t.Context(), caller); !errors.Is(err, auth.ErrNoKeyBox) {
		t.Errorf("re-encrypt: error %v, want ErrNoKeyBox", err)
	}
	r.wantStates(t)
}

// There and back again: the other kind's access tokens are refused, sessions go on, and the keys of the
// first time sign again.
func TestKeys_SwitchFromASecretAndBack(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	before, after := newReplica(t, db), newKeyed(t, db, token.ES256, keyEncryptionKey)
	before.addUser(t, "ana")
	tokens := before.login(t, "ana")
	after.load(t)
	after.wantSignedOut(t, tokens)
	next := after.refresh(t, tokens.RefreshToken)
	after.wantSignedIn(t, next)
	before.wantSignedOut(t, next)
	back := before.refresh(t, next.RefreshToken)
	before.wantSignedIn(t, back)
	again := newKeyed(t, db, token.ES256, keyEncryptionKey)
	again.load(t)
	last := again.refresh(t, back.RefreshToken)
	if keyOf(t, last) != keyOf(t, next) {
		t.Error("another key was made although one signs")
	}
	again.wantSignedIn(t, last)
}

// SIGNING_ALGORITHM is that of new keys; those that stand keep theirs.
func TestKeys_AlgorithmChangesWithTheNextRotation(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newKeyed(t, db, token.ES256, keyEncryptionKey)
	r.load(t)
	r.addUser(t, "ana")
	old := r.login(t, "ana")
	for _, algorithm := range []token.Algorithm{token.EdDSA, token.RS256, token.ES256} {
		r = newKeyed(t, db, algorithm, keyEncryptionKey)
		r.load(t)
		if got := keyOf(t, r.login(t, "ana")); got != keyOf(t, old) {
			t.Errorf("%s: another key signs before a rotation", algorithm)
		}
		second := r.rotate(t)
		r.load(t)
		db.Advance(t, publication)
		tokens := r.login(t, "ana")
		if got := one[string](t, db, `SELECT algorithm FROM signing_keys WHERE id = $1`, keyOf(t, tokens)); got != string(algorithm) || keyOf(t, tokens) != second {
			t.Errorf("signed with %s, want %s", got, algorithm)
		}
		r.wantSignedIn(t, tokens)
		r.wantSignedIn(t, old)
		old = tokens
	}
}

// users.claims go into the token, at login and at each refresh, never over ours.
func TestTokens_CustomClaimsOfTheUser(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newFed(t, db)
	r.addUser(t, "ana")
	db.Exec(t, `UPDATE users SET claims = '{"plan": "gold", "groups": ["a", {"b": true}], "role": "admin", "Sub": "x"}'`)
	tokens := r.login(t, "ana")
	for range 2 {
		who := r.wantSignedIn(t, tokens)
		if fmt.Sprint(who.User.Claims) != "map[groups:[a map[b:true]] plan:gold]" || who.User.Role != "user" {
			t.Errorf("claims %v, role %s", who.User.Claims, who.User.Role)
		}
		tokens = r.refresh(t, tokens.RefreshToken)
	}
}

func TestReencryptKeys_ChangesTheKeyEncryptionKey(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	newer := bytes.Repeat([]byte{8}, 32)
	old := newKeyed(t, db, token.ES256, keyEncryptionKey)
	old.load(t)
	old.rotate(t)
	old.addUser(t, "ana")
	tokens := old.login(t, "ana")

	var refused *auth.KeyError
	if err := newKeyed(t, db, token.ES256, newer).LoadKeys(t.Context()); !errors.As(err, &refused) {
		t.Errorf("with the new key alone: error %v, want a KeyError", err)
	}
	both := newKeyed(t, db, token.ES256, newer, keyEncryptionKey)
	both.load(t)
	both.wantSignedIn(t, tokens)
	if n, err := both.ReencryptKeys(t.Context(), caller); err != nil || n != 2 {
		t.Errorf("%d keys re-encrypted, error %v, want 2", n, err)
	}
	for range 2 { // twice does no harm
		fresh := newKeyed(t, db, token.ES256, newer)
		fresh.load(t)
		fresh.wantSignedIn(t, tokens)
		if _, err := fresh.ReencryptKeys(t.Context(), caller); err != nil {
			t.Error(err)
		}
	}
	if err := newKeyed(t, db, token.ES256, keyEncryptionKey).LoadKeys(t.Context()); !errors.As(err, &refused) {
		t.Errorf("with the old key alone: error %v, want a KeyError", err)
	}
	if n := count(events(t, db), "keys_reencrypted"); n != 3 {
		t.Errorf("%d events keys_reencrypted, want 3", n)
	}
}

// A key that no replica could open is never published, and a signing one not revoked for it.
func TestKeys_WrongKeyEncryptionKeyChangesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	right, wrong := newKeyed(t, db, token.ES256, keyEncryptionKey), newKeyed(t, db, token.ES256, bytes.Repeat([]byte{9}, 32))
	right.load(t)
	first := right.published(t)[0]
	keys := func() string {
		return one[string](t, db, `SELECT jsonb_agg(k ORDER BY id)::text || (SELECT count(*) FROM audit_events) FROM signing_keys k`)
	}
	before := keys()
	_, rotated := wrong.RotateKey(t.Context(), caller)
	_, revoked := wrong.RevokeKey(t.Context(), caller, first)
	_, reencrypted := wrong.ReencryptKeys(t.Context(), caller)
	for _, err := range []error{rotated, revoked, reencrypted} {
		var refused *auth.KeyError
		if !errors.As(err, &refused) || refused.ID != first {
			t.Errorf("error %v, want a KeyError of %s", err, first)
		}
	}
	if after := keys(); after != before {
		t.Errorf("keys were %s, are %s", before, after)
	}
	// With its database rows the last trace of a lost key-encryption key goes.
	db.Exec(t, `DELETE FROM signing_keys`)
	wrong.load(t)
	wrong.wantStates(t, auth.KeySigning)
}

// What was locked out by the clock alone is no key any more: it need not open.
func TestKeys_GoneOnesNeedNotOpen(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	old := newKeyed(t, db, token.ES256, keyEncryptionKey)
	old.load(t)
	old.revoke(t, old.published(t)[0])
	old.rotate(t)
	db.Advance(t, publication)
	newer := bytes.Repeat([]byte{8}, 32)
	if n, err := newKeyed(t, db, token.ES256, newer, keyEncryptionKey).ReencryptKeys(t.Context(), caller); err != nil || n != 2 {
		t.Errorf("%d keys re-encrypted, error %v, want the two that verify", n, err)
	}
	r := newKeyed(t, db, token.ES256, newer)
	r.load(t)
	r.wantStates(t, auth.KeyRevoked, auth.KeyRetiring, auth.KeySigning)
}
