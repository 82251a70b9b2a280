package auth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

func TestFeed_AcceptedCheckCostsNoStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	asking := newReplica(t, db)
	user := asking.addUser(t, "ana")
	db.Exec(t, `UPDATE users SET claims = '{"team":"blue"}'`)
	tokens := asking.login(t, "ana")
	a, b := newReplica(t, db).feed(t, db.URL()), newReplica(t, db).feed(t, db.URL())
	want := asking.wantSignedIn(t, tokens)
	if want.User.ID != user.ID || want.User.Username != "ana" || want.User.Role != "user" || want.User.Claims["team"] != "blue" {
		t.Errorf("identity %+v", want)
	}
	for _, r := range []replica{a, b} {
		r.hear(t)
		r.statements.take()
		for range 3 {
			if diff := cmp.Diff(want, r.wantSignedIn(t, tokens)); diff != "" {
				t.Errorf("who asks the database is told of another identity:\n%s", diff)
			}
		}
		if list := r.statements.take(); len(list) != 0 {
			t.Errorf("%d statements for checks that were accepted: %q", len(list), list)
		}
	}
}

// Whatever ends access tokens on one replica ends them there before the call returns, and on the other with
// its next reading, without a statement for the check.
func TestFeed_WhatOneReplicaEndsTheOtherRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, db *testdb.DB, a replica, first, second auth.Tokens) error{
		"logout by refresh token": func(t *testing.T, _ *testdb.DB, a replica, _, second auth.Tokens) error {
			return a.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: second.RefreshToken})
		},
		"logout by access token": func(t *testing.T, _ *testdb.DB, a replica, first, _ auth.Tokens) error {
			return a.Logout(t.Context(), caller, auth.LogoutRequest{AccessToken: first.AccessToken})
		},
		"end of the session": func(t *testing.T, _ *testdb.DB, a replica, _, second auth.Tokens) error {
			who := a.wantSignedIn(t, second)
			return a.EndSession(t.Context(), caller, who, who.SessionID)
		},
		"end of all": func(t *testing.T, _ *testdb.DB, a replica, _, second auth.Tokens) error {
			return a.EndSessions(t.Context(), caller, a.wantSignedIn(t, second), false)
		},
		"disabled user": func(t *testing.T, _ *testdb.DB, a replica, _, _ auth.Tokens) error {
			return a.DisableUser(t.Context(), caller, "ana")
		},
		"reuse": func(t *testing.T, db *testdb.DB, a replica, first, _ auth.Tokens) error {
			db.Advance(t, interval)
			a.wantRefused(t, first.RefreshToken)
			return nil
		},
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			line := db.Line(t)
			a, b := newReplica(t, db), newReplica(t, db).feed(t, db.URL())
			a.addUser(t, "ana")
			a.addUser(t, "bob")
			first, bobs := a.login(t, "ana"), a.login(t, "bob")
			second := a.refresh(t, first.RefreshToken)
			a = a.feed(t, line.URL())
			line.Hold() // what a knows from here on it knows by itself
			if err := end(t, db, a, first, second); err != nil {
				t.Fatal(err)
			}
			a.fed = false
			b.hear(t)
			b.statements.take()
			for _, tokens := range []auth.Tokens{first, second} {
				a.wantSignedOut(t, tokens)
				b.wantSignedOut(t, tokens)
			}
			b.wantSignedIn(t, bobs)
			if list := b.statements.take(); len(list) != 0 {
				t.Errorf("statements for the checks: %q", list)
			}
			b.wantRefused(t, second.RefreshToken)
			line.Release()
		})
	}
}

// Revocations that something else has written: all tokens before an instant, and one token.
func TestFeed_TakesWhatOthersWrite(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r, asking := newReplica(t, db).feed(t, db.URL()), newReplica(t, db)
	r.addUser(t, "ana")
	one, other := r.login(t, "ana"), r.login(t, "ana")
	sibling := r.refresh(t, one.RefreshToken)
	db.Exec(t, `
		INSERT INTO revocations (kind, subject, family_id, until) VALUES ('token', $1, $2, clock_timestamp() + interval '1 hour')`,
		claim(t, one, "jti"), claim(t, one, "sid"))
	for _, replica := range []replica{r, asking} {
		replica.wantSignedOut(t, one)
		replica.wantSignedIn(t, sibling)
		replica.wantSignedIn(t, other)
	}
	db.Exec(t, `INSERT INTO revocations (kind, before, until) VALUES ('all', clock_timestamp(), clock_timestamp() + interval '1 day')`)
	for _, replica := range []replica{r, asking} {
		replica.wantSignedOut(t, sibling)
		replica.wantSignedOut(t, other)
	}
	db.Advance(t, 2*time.Second) // past the second of that instant
	for _, replica := range []replica{r, asking} {
		replica.wantSignedIn(t, r.refresh(t, other.RefreshToken))
	}
}

// Without its feed a replica asks the database, and without both it says that it cannot tell: never that a
// token is bad, unless it knew before.
func TestFeed_LostAndTheDatabaseToo(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	feedLine, poolLine := db.Line(t), db.Line(t)
	r := newReplicaAt(t, db, poolLine.URL()).feed(t, feedLine.URL())
	r.addUser(t, "ana")
	good, bad, known := r.login(t, "ana"), r.login(t, "ana"), r.login(t, "ana")
	if err := r.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: known.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	feedLine.Hold()
	r.awaitFresh(t, false)
	if hint, err := r.Ready(t.Context()); err != nil || hint == "" {
		t.Errorf("ready with hint %q, error %v, want ready with a hint", hint, err)
	}
	if err := newReplica(t, db).Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: bad.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	r.fed = false // nothing is heard
	r.statements.take()
	r.wantSignedIn(t, good)
	r.wantSignedOut(t, bad)
	if list := r.statements.take(); len(list) != 2 {
		t.Errorf("%d statements for two checks", len(list))
	}

	poolLine.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for _, tokens := range []auth.Tokens{good, bad} {
		if _, err := r.Authenticate(ctx, tokens.AccessToken); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
	}
	r.wantSignedOut(t, known)

	feedLine.Release()
	poolLine.Release()
	r.awaitFresh(t, true)
	r.wantSignedOut(t, bad)
	r.statements.take()
	r.wantSignedIn(t, good)
	if list := r.statements.take(); len(list) != 0 {
		t.Errorf("statements after the feed has healed: %q", list)
	}
}

// A logout that stands although nobody was told so: the feed brings it to the replica that asked for it too.
func TestFeed_BringsARevocationWhoseCommitWasNotAnswered(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	line := db.Line(t)
	r := newReplicaAt(t, db, patient(t, line.URL())).feed(t, db.URL())
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	db.Exec(t, `
		CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON revocations DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()`)
	holder, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_xact_lock(1)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	whileBlocked(t, db, func() {
		err := r.Logout(ctx, caller, auth.LogoutRequest{RefreshToken: tokens.RefreshToken})
		if !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("logout: error %v, want ErrUnavailable", err)
		}
	}, func() {
		line.Hold() // COMMIT has been sent, and its answer goes nowhere
		if err := holder.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
		one[bool](t, db, `SELECT pg_advisory_lock(1) IS NOT NULL`) // the commit is done
		cancel()
	})
	r.wantSignedOut(t, tokens)
	line.Release()
}

// patient is the database's address with sessions that wait for a lock as long as a statement may take.
func patient(t testing.TB, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("lock_timeout", "4000")
	u.RawQuery = query.Encode()
	return u.String()
}

// claim reads a member of an access token as a client could.
func claim(t testing.TB, tokens auth.Tokens, name string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tokens.AccessToken, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(claims[name])
}

func (r replica) awaitFresh(t testing.TB, fresh bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.blacklist.Fresh() != fresh {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the blacklist is still fresh %v", !fresh)
		}
	}
}
