package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

func TestRefresh_RotatesInOneStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	first := r.login(t, "ana")
	second := r.refresh(t, first.RefreshToken)
	r.statements.take()
	third := r.refresh(t, second.RefreshToken)
	if list := r.statements.take(); len(list) != 1 {
		t.Errorf("%d statements for a happy refresh: %q", len(list), list)
	}
	if first.RefreshToken == second.RefreshToken || second.RefreshToken == third.RefreshToken {
		t.Error("a rotation gave the same refresh token")
	}
	if third.ExpiresIn != access || third.RefreshExpiresIn != idle {
		t.Errorf("expires in %v, refresh token in %v", third.ExpiresIn, third.RefreshExpiresIn)
	}
	if who := r.wantSignedIn(t, third); who.User.Username != "ana" || who.SessionID != familyOf(t, r, first) {
		t.Errorf("signed in as %q in session %v", who.User.Username, who.SessionID)
	}
	r.wantInvariants(t)
}

func TestRefresh_WhatIsNotOursCostsNoStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	good := r.login(t, "ana").RefreshToken
	before := state(t, db)
	foreign := newReplica(t, db, withSecrets("another secret altogether, long enough too"))
	theirs := foreign.login(t, "ana").RefreshToken
	r.statements.take()
	for name, token := range map[string]string{
		"empty": "", "noise": "x", "prefix alone": "krt_", "another MAC key": theirs, "line break": good + "\n",
		"long": strings.Repeat("a", 1<<20), "a changed character": good[:40] + flip(good[40]) + good[41:],
		"cut": good[:len(good)-1], "in capitals": strings.ToUpper(good),
	} {
		if _, err := r.Refresh(t.Context(), caller, token, auth.ClientCredentials{}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if list := r.statements.take(); len(list) != 0 {
		t.Errorf("statements for tokens that are not ours: %q", list)
	}
	if len(before) == 0 {
		t.Fatal("no state")
	}
	r.refresh(t, good)
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestRefresh_ReplayGivesTheSameChild(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	first := a.login(t, "ana")
	second := a.refresh(t, first.RefreshToken)
	idleBefore := one[time.Time](t, db, `SELECT idle_expires_at FROM token_families`)

	db.Advance(t, interval-2*time.Second)
	again := b.refresh(t, first.RefreshToken) // on another replica
	if again.RefreshToken != second.RefreshToken {
		t.Error("the replay gave another refresh token than the rotation")
	}
	if again.AccessToken == second.AccessToken {
		t.Error("the replay gave the same access token")
	}
	if idleAfter := one[time.Time](t, db, `SELECT idle_expires_at FROM token_families`); !idleAfter.Equal(idleBefore) {
		t.Errorf("the replay moved the idle expiry from %v to %v", idleBefore, idleAfter)
	}
	if again.RefreshExpiresIn > idle-interval+3*time.Second {
		t.Errorf("the replay promises %v, but the token is %v old", again.RefreshExpiresIn, interval-2*time.Second)
	}
	a.wantSignedIn(t, again)
	until := one[time.Time](t, db, `SELECT access_until FROM token_families`)
	if want := db.Now().Add(access - 5*time.Second); until.Before(want) {
		t.Errorf("access_until is %v and does not cover the replay's access token", until)
	}
	if n := count(events(t, db), "grace_replay"); n != 1 {
		t.Errorf("%d replays in the audit trail", n)
	}
	if n := one[int](t, db, `SELECT count(*) FROM refresh_tokens`); n != 2 {
		t.Errorf("%d tokens stand, want parent and child", n)
	}
	a.refresh(t, again.RefreshToken)
	a.wantInvariants(t)
}

func TestRefresh_ReuseRevokesTheFamily(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, db *testdb.DB, r replica, second auth.Tokens) auth.Tokens{
		"after the interval": func(t *testing.T, db *testdb.DB, _ replica, second auth.Tokens) auth.Tokens {
			db.Advance(t, interval)
			return second
		},
		"once the child was used": func(t *testing.T, _ *testdb.DB, r replica, second auth.Tokens) auth.Tokens {
			return r.refresh(t, second.RefreshToken)
		},
	}
	for name, goOn := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			a, b := newReplica(t, db), newReplica(t, db)
			a.addUser(t, "ana")
			other := a.login(t, "ana")
			first := a.login(t, "ana")
			second := a.refresh(t, first.RefreshToken)
			newest := goOn(t, db, a, second)
			a.wantSignedIn(t, newest)

			b.wantRefused(t, first.RefreshToken)
			for _, r := range []replica{a, b} {
				r.wantRefused(t, newest.RefreshToken)
				r.wantRefused(t, second.RefreshToken)
				r.wantRefused(t, first.RefreshToken)
				r.wantSignedOut(t, newest)
				r.wantSignedOut(t, second)
				r.wantSignedOut(t, first)
				r.wantSignedIn(t, other)
			}
			a.refresh(t, other.RefreshToken)
			kinds := events(t, db)
			if count(kinds, "reuse_detected") != 1 || count(kinds, "family_revoked") != 1 {
				t.Errorf("audit trail %q, want one reuse and one revocation", kinds)
			}
			detail := one[string](t, db, `SELECT detail::text || address || user_agent || request_id FROM audit_events WHERE kind = 'reuse_detected'`)
			wantContains(t, detail, `"presented_generation": 0`, `"current_user_agent": "test/1"`, `"current_address": "192.0.2.1"`, "request-1")
			if reason := one[string](t, db, `SELECT revoked_reason FROM token_families WHERE revoked_at IS NOT NULL`); reason != "reuse_detected" {
				t.Errorf("revoked for %q", reason)
			}
			a.wantInvariants(t)
		})
	}
}

func TestRefresh_IntervalStartsAnewWithPostgreSQL(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	first := r.login(t, "ana")
	second := r.refresh(t, first.RefreshToken)
	db.Advance(t, 30*time.Minute)
	db.SetServerStart(t, db.Now().Add(-interval/2))
	if again := r.refresh(t, first.RefreshToken); again.RefreshToken != second.RefreshToken {
		t.Error("after a restart the parent gave another child")
	}
	db.SetServerStart(t, db.Now().Add(-interval))
	r.wantRefused(t, first.RefreshToken)
	r.wantRefused(t, second.RefreshToken)
}

// I9: apart from a deliberate revocation and the audit trail, a refused request changes nothing.
func TestRefresh_RefusalChangesNothing(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		prepare func(t *testing.T, db *testdb.DB, r replica, first, second auth.Tokens) (presented string)
		audited string
	}{
		{"revoked", func(t *testing.T, _ *testdb.DB, r replica, _, second auth.Tokens) string {
			if err := r.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: second.RefreshToken}); err != nil {
				t.Fatal(err)
			}
			return second.RefreshToken
		}, ""},
		{"old token of a revoked family", func(t *testing.T, _ *testdb.DB, r replica, first, second auth.Tokens) string {
			if err := r.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: second.RefreshToken}); err != nil {
				t.Fatal(err)
			}
			return first.RefreshToken
		}, ""},
		{"idle", func(t *testing.T, db *testdb.DB, _ replica, _, second auth.Tokens) string {
			db.Advance(t, idle)
			return second.RefreshToken
		}, ""},
		{"old token of an idle family", func(t *testing.T, db *testdb.DB, _ replica, first, _ auth.Tokens) string {
			db.Advance(t, idle)
			return first.RefreshToken
		}, ""},
		{"past its absolute expiry", func(t *testing.T, db *testdb.DB, _ replica, _, second auth.Tokens) string {
			db.Advance(t, lifetime)
			return second.RefreshToken
		}, ""},
		{"user disabled past the program", func(t *testing.T, db *testdb.DB, _ replica, _, second auth.Tokens) string {
			db.Exec(t, `UPDATE users SET disabled_at = clock_timestamp()`)
			return second.RefreshToken
		}, ""},
		{"old token of a disabled user", func(t *testing.T, db *testdb.DB, _ replica, first, _ auth.Tokens) string {
			db.Advance(t, interval)
			db.Exec(t, `UPDATE users SET disabled_at = clock_timestamp()`)
			return first.RefreshToken
		}, ""},
		{"unknown family", func(t *testing.T, db *testdb.DB, _ replica, _, second auth.Tokens) string {
			db.Exec(t, `DELETE FROM refresh_tokens; DELETE FROM token_families`)
			return second.RefreshToken
		}, ""},
		{"forged: no such token", func(t *testing.T, _ *testdb.DB, _ replica, _, second auth.Tokens) string {
			return forge(t, second.RefreshToken, true)
		}, "token_lost"},
		{"forged: the current with another hash", func(t *testing.T, _ *testdb.DB, _ replica, _, second auth.Tokens) string {
			return forge(t, second.RefreshToken, false)
		}, "token_lost"},
		{"forged: an old one with another hash", func(t *testing.T, db *testdb.DB, _ replica, first, _ auth.Tokens) string {
			db.Advance(t, interval)
			return forge(t, first.RefreshToken, false)
		}, "token_lost"},
		{"another client's family", func(t *testing.T, db *testdb.DB, _ replica, first, _ auth.Tokens) string {
			db.Advance(t, interval)
			db.Exec(t, `UPDATE token_families SET client_id = 'other'`)
			return first.RefreshToken
		}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			first := r.login(t, "ana")
			second := r.refresh(t, first.RefreshToken)
			presented := c.prepare(t, db, r, first, second)
			before, eventsBefore := state(t, db), events(t, db)
			r.wantRefused(t, presented)
			if after := state(t, db); after != before {
				t.Errorf("the refusal changed\n%s to\n%s", before, after)
			}
			added := events(t, db)[len(eventsBefore):]
			if c.audited == "" && len(added) > 0 || c.audited != "" && fmt.Sprint(added) != "["+c.audited+"]" {
				t.Errorf("audit trail gained %q, want %q", added, c.audited)
			}
		})
	}
}

func TestRefresh_DamagedSealIsTroubleAndNoTheft(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	first := r.login(t, "ana")
	second := r.refresh(t, first.RefreshToken)
	db.Exec(t, `UPDATE token_families SET successor_seal = sha512(successor_seal)`)
	before := state(t, db)
	if _, err := r.Refresh(t.Context(), caller, first.RefreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if after := state(t, db); after != before {
		t.Error("the failed replay changed the family")
	}
	r.refresh(t, second.RefreshToken)
}

// The seal of another family, moved into this row by whoever can write the database, opens nothing.
func TestRefresh_SealIsBoundToItsFamilyAndParent(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	first := r.login(t, "ana")
	second := r.refresh(t, first.RefreshToken)
	stale := one[[]byte](t, db, `SELECT successor_seal FROM token_families`)
	r.refresh(t, second.RefreshToken)
	db.Exec(t, `UPDATE token_families SET successor_seal = $1`, stale)
	if _, err := r.Refresh(t.Context(), caller, second.RefreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

// A right seal of another token with the child's id: only the hash tells that it is not the child.
func TestRefresh_SealOfAnotherChildIsTrouble(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	first := r.login(t, "ana")
	second := r.refresh(t, first.RefreshToken)
	codec, err := token.NewRefreshCodec([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	parent, parentErr := codec.Parse(first.RefreshToken)
	other, otherErr := codec.Parse(forge(t, second.RefreshToken, false))
	if err := errors.Join(parentErr, otherErr); err != nil {
		t.Fatal(err)
	}
	sealed, err := codec.Seal(parent, other)
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `UPDATE token_families SET successor_seal = $1`, sealed)
	if _, err := r.Refresh(t.Context(), caller, first.RefreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	r.refresh(t, second.RefreshToken)
}

func TestRefresh_SecretChangesWithoutLosingASession(t *testing.T) {
	t.Parallel()
	const next = "the next secret of the tests, long enough"
	db := testdb.New(t)
	before := newReplica(t, db)
	announced := newReplica(t, db, withSecrets(secret, next))
	swapped := newReplica(t, db, withSecrets(next, secret))
	after := newReplica(t, db, withSecrets(next))
	before.addUser(t, "ana")

	first := before.login(t, "ana")
	second := announced.refresh(t, first.RefreshToken)
	if again := swapped.refresh(t, first.RefreshToken); again.RefreshToken != second.RefreshToken {
		t.Error("a seal of the old secret did not open after the swap")
	}
	third := swapped.refresh(t, second.RefreshToken)
	if again := announced.refresh(t, second.RefreshToken); again.RefreshToken != third.RefreshToken {
		t.Error("a seal of the new secret did not open before the swap")
	}
	fourth := after.refresh(t, third.RefreshToken)
	after.refresh(t, fourth.RefreshToken)
	before.wantRefused(t, fourth.RefreshToken)
}

func TestRefresh_UnknownClient(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	first := r.login(t, "ana")
	if _, err := r.Refresh(t.Context(), caller, first.RefreshToken, auth.ClientCredentials{ID: "nobody"}); !errors.Is(err, auth.ErrUnknownClient) {
		t.Errorf("error %v, want ErrUnknownClient", err)
	}
	if _, err := r.Refresh(t.Context(), caller, first.RefreshToken, auth.ClientCredentials{ID: "kindred"}); err != nil {
		t.Errorf("the built-in client by its name: %v", err)
	}
}

// Chains of different lengths, so that a wrong generation in token, row or seal would show.
func TestRefresh_LongChain(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	for range 50 {
		next := r.refresh(t, tokens.RefreshToken)
		if again := r.refresh(t, tokens.RefreshToken); again.RefreshToken != next.RefreshToken {
			t.Fatal("a replay gave another child")
		}
		tokens = next
	}
	if n := one[int](t, db, `SELECT generation FROM token_families`); n != 50 {
		t.Errorf("generation %d after 50 rotations", n)
	}
	r.wantInvariants(t)
}
