package auth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/revocation"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

const (
	// publication is JWKS max-age + the feed's bound + a minute for clocks.
	publication = 5*time.Minute + 2*time.Second + time.Minute
	// afterlife is the longest lifetime of an access token + a minute of leeway + a minute to sign it.
	afterlife = 24*time.Hour + 2*time.Minute
)

var keyEncryptionKey = bytes.Repeat([]byte{7}, 32)

// keyed is a replica whose access tokens are signed with keys of the database.
type keyed struct{ replica }

// newKeyed makes one that nobody feeds. The first of the key-encryption keys is the current one.
func newKeyed(t testing.TB, db *testdb.DB, algorithm token.Algorithm, keyEncryptionKeys ...[]byte) keyed {
	t.Helper()
	return newKeyedAt(t, db, db.URL(), algorithm, keyEncryptionKeys...)
}

// newKeyedAt reaches the database by a way of its own.
func newKeyedAt(t testing.TB, db *testdb.DB, url string, algorithm token.Algorithm, keyEncryptionKeys ...[]byte) keyed {
	t.Helper()
	box, err := token.NewKeyBox(keyEncryptionKeys[0], keyEncryptionKeys[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	config := testConfig()
	config.SigningAlgorithm = algorithm
	config.AccessLifetime, config.IdleLifetime = time.Hour, 12*time.Hour
	secrets := newSecrets(t, db, []string{secret}, token.NewKeys())
	secrets.KeyBox = box
	return keyed{join(t, url, config, secrets, revocation.NewSet(time.Now))}
}

// newFed makes one with a feed, as a server runs it, that has read once.
func newFed(t testing.TB, db *testdb.DB) keyed {
	t.Helper()
	return keyed{newKeyed(t, db, token.ES256, keyEncryptionKey).feed(t, db.URL())}
}

func (r keyed) load(t testing.TB) {
	t.Helper()
	if err := r.LoadKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (r keyed) rotate(t testing.TB) string {
	t.Helper()
	id, err := r.RotateKey(t.Context(), caller)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (r keyed) revoke(t testing.TB, id string) (successor string) {
	t.Helper()
	successor, err := r.RevokeKey(t.Context(), caller, id)
	if err != nil {
		t.Fatal(err)
	}
	return successor
}

// wantStates compares the states of all keys in the order in which they sign.
func (r keyed) wantStates(t testing.TB, want ...auth.KeyState) {
	t.Helper()
	list, err := r.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []auth.KeyState
	for _, k := range list {
		got = append(got, k.State)
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys are %v, want %v", got, want)
	}
}

// published lists the ids of the key set.
func (r keyed) published(t testing.TB) (ids []string) {
	t.Helper()
	text, _, err := r.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	return ids
}

// keyOf is the kid of an access token.
func keyOf(t testing.TB, tokens auth.Tokens) string {
	t.Helper()
	encoded, _, _ := strings.Cut(tokens.AccessToken, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

func TestKeys_ReplicasThatStartAtOnceMakeOneFirstKey(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	const replicas = 8
	var started []keyed
	for range replicas {
		started = append(started, newKeyed(t, db, token.ES256, keyEncryptionKey))
	}
	// A share lock on the table lets all of them see that it is empty, and none make a key.
	holder, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `LOCK TABLE signing_keys IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, r := range started {
		wg.Go(func() {
			// Whoever waits for too long is told so and tries again, as the feed does.
			for err := r.LoadKeys(t.Context()); err != nil; err = r.LoadKeys(t.Context()) {
				if !errors.Is(err, auth.ErrUnavailable) {
					t.Error(err)
					return
				}
			}
		})
	}
	watch := db.Conn(t)
	for blocked := 0; blocked < replicas; {
		err := watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	started[0].wantStates(t, auth.KeySigning)
	if n := count(events(t, db), "key_published"); n != 1 {
		t.Errorf("%d keys were published, want 1", n)
	}
	started[0].addUser(t, "ana")
	for i, r := range started {
		tokens := r.login(t, "ana")
		started[(i+1)%replicas].wantSignedIn(t, tokens)
	}
}

func TestRotateKey_SignsOnceEveryVerifierCanKnowIt(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newKeyed(t, db, token.ES256, keyEncryptionKey), newKeyed(t, db, token.ES256, keyEncryptionKey)
	a.load(t)
	a.addUser(t, "ana")
	tokens := a.login(t, "ana")
	first := keyOf(t, tokens)
	second := a.rotate(t)
	a.load(t)
	b.load(t)
	a.wantStates(t, auth.KeySigning, auth.KeyPublished)
	if wait := one[time.Duration](t, db, `SELECT sign_from - published_at FROM signing_keys WHERE id = $1`, second); wait != publication {
		t.Errorf("the new key signs %v after its publication, want %v", wait, publication)
	}
	if !slices.Equal(a.published(t), []string{first, second}) {
		t.Errorf("published are %v", a.published(t))
	}
	check := func(want string) {
		t.Helper()
		for _, pair := range [][2]keyed{{a, b}, {b, a}} {
			tokens = pair[0].refresh(t, tokens.RefreshToken)
			if got := keyOf(t, tokens); got != want {
				t.Errorf("%s signs, want %s", got, want)
			}
			pair[1].wantSignedIn(t, tokens)
		}
	}
	check(first)
	db.Advance(t, publication-time.Minute)
	check(first)
	old := tokens
	db.Advance(t, time.Minute) // nobody reads the keys anew
	check(second)
	a.wantStates(t, auth.KeyRetiring, auth.KeySigning)
	a.wantSignedIn(t, old)
	b.wantSignedIn(t, old)
}

// The old key is there as long as the last token that it signed may be believed, and then it goes by
// itself: nobody touches the table.
func TestKeys_GoByThemselves(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newFed(t, db)
	first := r.published(t)[0]
	second := r.rotate(t)
	db.Advance(t, publication)
	db.Advance(t, afterlife-time.Minute)
	r.hear(t)
	if got := r.published(t); !slices.Equal(got, []string{first, second}) {
		t.Errorf("a minute before its end: published are %v", got)
	}
	r.wantStates(t, auth.KeyRetiring, auth.KeySigning)
	db.Advance(t, time.Minute)
	r.hear(t)
	if got := r.published(t); !slices.Equal(got, []string{second}) {
		t.Errorf("at its end: published are %v", got)
	}
	r.wantStates(t, auth.KeyRetired, auth.KeySigning)
}

// Once a key has had a successor that signed, it signs no more and gets no more time, whatever becomes of
// the successor.
func TestKeys_NoneComesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		advance time.Duration
		end     func(t *testing.T, db *testdb.DB, r keyed, second string)
		want    []auth.KeyState
	}{
		"the successor of one that is gone is revoked": {publication + afterlife, func(t *testing.T, _ *testdb.DB, r keyed, second string) {
			r.revoke(t, second)
		}, []auth.KeyState{auth.KeyRetired, auth.KeyRevoked, auth.KeySigning}},
		"the successor of one that retires is revoked": {publication, func(t *testing.T, _ *testdb.DB, r keyed, second string) {
			r.revoke(t, second)
		}, []auth.KeyState{auth.KeyRetiring, auth.KeyRevoked, auth.KeySigning}},
		"the successor of one that is gone is retired": {publication + afterlife, func(t *testing.T, db *testdb.DB, r keyed, second string) {
			r.rotate(t)
			db.Advance(t, publication)
			if err := r.RetireKey(t.Context(), caller, second); err != nil {
				t.Fatal(err)
			}
		}, []auth.KeyState{auth.KeyRetired, auth.KeyRetired, auth.KeySigning}},
		"the successor is revoked before it signs": {0, func(t *testing.T, _ *testdb.DB, r keyed, second string) {
			r.revoke(t, second)
		}, []auth.KeyState{auth.KeySigning, auth.KeyRevoked}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newKeyed(t, db, token.ES256, keyEncryptionKey)
			r.load(t)
			second := r.rotate(t)
			db.Advance(t, c.advance)
			before, err := r.SigningKeys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.end(t, db, r, second)
			r.wantStates(t, c.want...)
			if after, err := r.SigningKeys(t.Context()); err != nil || !after[0].VerifyUntil.Equal(before[0].VerifyUntil) {
				t.Errorf("the first verifies until %v, was %v, error %v", after[0].VerifyUntil, before[0].VerifyUntil, err)
			}
			r.load(t)
			r.addUser(t, "ana")
			list, err := r.SigningKeys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			signs := slices.IndexFunc(list, func(k auth.SigningKeyInfo) bool { return k.State == auth.KeySigning })
			if got := keyOf(t, r.login(t, "ana")); got != list[signs].ID {
				t.Errorf("%s signs, want %s", got, list[signs].ID)
			}
		})
	}
}

func TestRevokeKey_EndsItEverywhereAndASuccessorSignsAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newFed(t, db), newFed(t, db)
	a.addUser(t, "ana")
	tokens := a.login(t, "ana")
	first := keyOf(t, tokens)
	for _, r := range []keyed{a, b} { // both remember it
		r.wantSignedIn(t, tokens)
	}
	successor := newKeyed(t, db, token.ES256, keyEncryptionKey).revoke(t, first) // as another process does
	for _, r := range []keyed{a, b} {
		r.hear(t)
		r.statements.take()
		r.wantSignedOut(t, tokens)
		if statements := r.statements.take(); len(statements) != 0 {
			t.Errorf("the refusal cost %d statements", len(statements))
		}
		if got := r.published(t); !slices.Equal(got, []string{successor}) {
			t.Errorf("published are %v, want %s", got, successor)
		}
	}
	next := a.refresh(t, tokens.RefreshToken)
	if got := keyOf(t, next); got != successor {
		t.Errorf("%s signs, want the successor %s", got, successor)
	}
	b.wantSignedIn(t, next)
	a.wantStates(t, auth.KeyRevoked, auth.KeySigning)
	if list := events(t, db); count(list, "key_revoked") != 1 || count(list, "key_published") != 2 {
		t.Errorf("events %v", list)
	}
}

// What was granted a moment before the key was revoked is signed a moment later, by the successor.
func TestRevokeKey_GrantFromBeforeIsSignedByTheSuccessor(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newKeyed(t, db, token.ES256, keyEncryptionKey)
	r.load(t)
	r.addUser(t, "ana")
	second := r.rotate(t)
	db.Advance(t, publication)
	successor := r.revoke(t, second)
	r.load(t)
	db.Advance(t, -time.Second)
	if got := keyOf(t, r.login(t, "ana")); got != successor {
		t.Errorf("%s signs, want the successor %s", got, successor)
	}
}

func TestRetireKey_OnlyWhatHasASuccessor(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newFed(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	first, second := keyOf(t, tokens), r.rotate(t)
	for _, id := range []string{first, second} {
		if err := r.RetireKey(t.Context(), caller, id); !errors.Is(err, auth.ErrKeyInUse) {
			t.Errorf("error %v, want ErrKeyInUse", err)
		}
	}
	db.Advance(t, publication)
	r.wantSignedIn(t, tokens)
	if err := r.RetireKey(t.Context(), caller, first); err != nil {
		t.Fatal(err)
	}
	r.wantStates(t, auth.KeyRetired, auth.KeySigning)
	r.hear(t)
	r.wantSignedOut(t, tokens)
	r.wantSignedIn(t, r.refresh(t, tokens.RefreshToken))
	for _, id := range []string{first, "no such key", ""} {
		if err := r.RetireKey(t.Context(), caller, id); !errors.Is(err, auth.ErrKeyNotFound) {
			t.Errorf("retire %q: error %v, want ErrKeyNotFound", id, err)
		}
		if _, err := r.RevokeKey(t.Context(), caller, id); !errors.Is(err, auth.ErrKeyNotFound) {
			t.Errorf("revoke %q: error %v, want ErrKeyNotFound", id, err)
		}
	}
	if n := count(events(t, db), "key_retired"); n != 1 {
		t.Errorf("%d events key_retired, want 1", n)
	}
}
