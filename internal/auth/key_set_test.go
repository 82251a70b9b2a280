package auth_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

// readings counts the times that a replica has read the signing keys.
func (r keyed) readings() (n int) {
	for _, statement := range r.statements.take() {
		if strings.Contains(statement, "FROM signing_keys ORDER BY") {
			n++
		}
	}
	return n
}

// A neighbour has made a key a moment ago, and this replica has not heard of it: it looks, instead of
// refusing what is good.
func TestUnknownKey_IsLookedFor(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, late, fed := newKeyed(t, db, token.ES256, keyEncryptionKey), newKeyed(t, db, token.ES256, keyEncryptionKey), newFed(t, db)
	a.load(t)
	late.load(t)
	a.addUser(t, "ana")
	first := a.login(t, "ana")
	a.revoke(t, keyOf(t, first))
	a.load(t)
	next := a.refresh(t, first.RefreshToken)
	for name, r := range map[string]keyed{"without a feed": late, "with one": fed} {
		if who := r.wantSignedIn(t, next); who.User.Username != "ana" {
			t.Errorf("%s: signed in as %q", name, who.User.Username)
		}
		r.wantSignedOut(t, first)
	}
}

// So does a logout: it would else acknowledge the end of a session that goes on.
func TestUnknownKey_EndsItsSessionToo(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, late := newKeyed(t, db, token.ES256, keyEncryptionKey), newKeyed(t, db, token.ES256, keyEncryptionKey)
	a.load(t)
	late.load(t)
	a.addUser(t, "ana")
	a.revoke(t, a.published(t)[0])
	a.load(t)
	tokens := a.login(t, "ana")
	if err := late.Logout(t.Context(), caller, auth.LogoutRequest{AccessToken: tokens.AccessToken}); err != nil {
		t.Fatal(err)
	}
	a.wantSignedOut(t, tokens)
	a.wantRefused(t, tokens.RefreshToken)
}

// However many tokens name keys that are nobody's, the keys are read once a second at most; and not at all
// while the feed would have told of new ones.
func TestUnknownKey_FloodIsReadForOnceASecond(t *testing.T) {
	t.Parallel()
	db, elsewhere := testdb.New(t), testdb.New(t)
	foreign := newKeyed(t, elsewhere, token.ES256, keyEncryptionKey)
	foreign.load(t)
	foreign.addUser(t, "ana")
	tokens := foreign.login(t, "ana")
	late, fed := newKeyed(t, db, token.ES256, keyEncryptionKey), newFed(t, db)
	late.load(t)
	flood := func(r keyed) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { r.wantSignedOut(t, tokens) })
		}
		wg.Wait()
	}
	late.statements.take()
	begun := time.Now()
	flood(late)
	flood(late)
	if n, most := late.readings(), 2+int(time.Since(begun)/time.Second); n < 1 || n > most {
		t.Errorf("the keys were read %d times, want 1 to %d", n, most)
	}
	fed.statements.take()
	flood(fed)
	if list := fed.statements.take(); len(list) != 0 {
		t.Errorf("with a feed the flood cost %q", list)
	}
}

// Nobody can tell whose key it is: that is our trouble and not the token's.
func TestUnknownKey_DatabaseAwayIsNoRefusal(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, late := newKeyed(t, db, token.ES256, keyEncryptionKey), newKeyed(t, db, token.ES256, keyEncryptionKey)
	late.load(t)
	a.load(t)
	a.addUser(t, "ana")
	a.revoke(t, a.published(t)[0])
	a.load(t)
	tokens := a.login(t, "ana")
	db.Exec(t, `ALTER TABLE signing_keys RENAME TO elsewhere`)
	_, access := late.Authenticate(t.Context(), tokens.AccessToken)
	logout := late.Logout(t.Context(), caller, auth.LogoutRequest{AccessToken: tokens.AccessToken})
	for _, err := range []error{access, logout} {
		if !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
	}
	db.Exec(t, `ALTER TABLE elsewhere RENAME TO signing_keys`)
	late.wantSignedIn(t, tokens)
}

// One of those who wait reads the keys for all of them: that it hangs up takes nothing from the others.
func TestUnknownKey_HangingUpCostsNobodyElse(t *testing.T) {
	t.Parallel()
	const flip = `UPDATE signing_keys SET revoked_at = CASE WHEN revoked_at IS NULL THEN clock_timestamp() END`
	db := testdb.New(t)
	a, late := newKeyed(t, db, token.ES256, keyEncryptionKey), newKeyed(t, db, token.ES256, keyEncryptionKey)
	a.load(t)
	a.addUser(t, "ana")
	tokens := a.login(t, "ana")
	watch, conn := db.Conn(t), db.Conn(t)
	db.Exec(t, flip)
	late.load(t) // the key of the token is not there, and will not be looked for before a second has passed
	holder, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `LOCK TABLE signing_keys IN ACCESS EXCLUSIVE MODE; `+flip); err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	whileBlocked(t, db, func() {
		for range 20 { // one of them, most likely, is the one that reads
			waiting.Go(func() { _, _ = late.Authenticate(ctx, tokens.AccessToken) })
		}
		waiting.Go(func() { late.wantSignedIn(t, tokens) })
	}, func() {
		hangUp()
		for range 50 { // for long enough that a reading which is cut short would be
			if _, err := watch.Exec(t.Context(), `SELECT count(*) FROM pg_stat_activity`); err != nil {
				t.Fatal(err)
			}
		}
		if err := holder.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	waiting.Wait()
}

// A replica whose feed does not work at all (REVOCATION_LISTEN_URL leads nowhere) loads keys when it needs
// them, and what was revoked signs no more.
func TestKeys_WithoutAFeed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newKeyed(t, db, token.ES256, keyEncryptionKey)
	if hint, err := r.Ready(t.Context()); err != nil || !strings.Contains(hint, "feed is late") {
		t.Errorf("ready: %q, error %v", hint, err)
	}
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	r.wantSignedIn(t, tokens)
	successor := newKeyed(t, db, token.ES256, keyEncryptionKey).revoke(t, keyOf(t, tokens))
	r.wantSignedOut(t, tokens)
	deadline := time.Now().Add(30 * time.Second)
	for keyOf(t, tokens) != successor {
		tokens = r.refresh(t, tokens.RefreshToken)
		if time.Now().After(deadline) {
			t.Fatal("the revoked key goes on signing")
		}
	}
	r.wantSignedIn(t, tokens)
	if got := r.published(t); !slices.Equal(got, []string{successor}) {
		t.Errorf("published are %v", got)
	}
}

// Before any key is loaded nothing is granted and nothing consumed.
func TestKeys_NoneLoadedIsTroubleThatCostsNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	good := newKeyed(t, db, token.ES256, keyEncryptionKey)
	good.load(t)
	good.addUser(t, "ana")
	tokens := good.login(t, "ana")
	before := state(t, db)
	wrong := newKeyed(t, db, token.ES256, bytes.Repeat([]byte{9}, 32))
	_, refresh := wrong.Refresh(t.Context(), caller, tokens.RefreshToken, auth.ClientCredentials{})
	_, login := wrong.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
	for name, err := range map[string]error{"refresh": refresh, "login": login} {
		if !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%s: error %v, want ErrUnavailable", name, err)
		}
	}
	if after := state(t, db); after != before {
		t.Error("something was consumed")
	}
	var notReady *auth.NotReadyError
	if _, err := wrong.Ready(t.Context()); !errors.As(err, &notReady) || !strings.Contains(notReady.Reason, good.published(t)[0]) {
		t.Errorf("ready: error %v, want the kid", err)
	}
	good.refresh(t, tokens.RefreshToken)
}

// Whoever reads the keys for all holds the turn: a connection that says nothing must give it back by the
// request's deadline, far below the limit of a reading.
func TestKeys_ReadingEndsWithTheRequestThatBeganIt(t *testing.T) {
	t.Parallel()
	const deadline, far = 500 * time.Millisecond, 5 * time.Second
	db := testdb.New(t)
	line := db.Line(t)
	r := newKeyedAt(t, db, line.URL(), token.ES256, keyEncryptionKey)
	r.addUser(t, "ana") // a connection that stands, and nobody has reason to doubt
	line.Hold()
	t.Cleanup(line.Release)
	ended := make(chan error, 2)
	for range cap(ended) {
		go func() {
			request, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			_, _, err := r.KeySet(request)
			ended <- err
		}()
	}
	tooLate := time.After(far)
	for range cap(ended) {
		select {
		case err := <-ended:
			if !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("error %v, want ErrUnavailable", err)
			}
		case <-tooLate:
			t.Fatal("the request goes on long after its deadline")
		}
	}
}

// A row that does not open must not take the others with it: what was revoked goes, and who signs goes on
// signing; but no later key signs before its time.
func TestLoadKeys_LoadsWhatOpens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil string // which key of the two does not open
		signs bool
	}{
		"the one to come": {`sign_from > published_at`, true},
		"the signing one": {`sign_from = published_at`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newKeyed(t, db, token.ES256, keyEncryptionKey)
			r.load(t)
			r.addUser(t, "ana")
			gone := r.login(t, "ana")
			first := r.revoke(t, keyOf(t, gone))
			second := r.rotate(t)
			db.Exec(t, `UPDATE signing_keys SET private_key = 'x' WHERE revoked_at IS NULL AND `+c.spoil)
			var refused *auth.KeyError
			if err := r.LoadKeys(t.Context()); !errors.As(err, &refused) {
				t.Errorf("error %v, want a KeyError", err)
			}
			if _, err := r.Authenticate(t.Context(), gone.AccessToken); !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("signed with the revoked key: error %v, want ErrUnavailable: nobody can tell the keys apart", err)
			}
			tokens, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
			switch {
			case c.signs && (err != nil || keyOf(t, tokens) != first || refused.ID != second):
				t.Errorf("the first key does not sign: error %v, %s is named", err, refused.ID)
			case !c.signs && (!errors.Is(err, auth.ErrUnavailable) || refused.ID != first):
				t.Errorf("something signs: error %v, %s is named", err, refused.ID)
			}
			var notReady *auth.NotReadyError
			hint, err := r.Ready(t.Context())
			switch {
			case c.signs && (err != nil || !strings.Contains(hint, second)):
				t.Errorf("a key that only waits takes the replica out of service: %v; hint %q", err, hint)
			case !c.signs && (!errors.As(err, &notReady) || !strings.Contains(notReady.Reason, first)):
				t.Errorf("ready although nothing signs: error %v, hint %q", err, hint)
			}
		})
	}
}
