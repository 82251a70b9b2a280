package auth_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// from is a caller by user agent and address.
func from(userAgent, address string) auth.Caller {
	return auth.Caller{RequestID: "request-1", UserAgent: userAgent, Address: netip.MustParseAddr(address)}
}

var (
	owner = from("owner", "192.0.2.1")
	thief = from("thief", "198.51.100.1")
)

func revokePacedTheft(config *auth.Config, _ *[]string) { config.RevokePacedTheft = true }

// turn is one generation: one party rotates, the others replay a moment later. All get the same child.
func (r replica) turn(t testing.TB, refreshToken string, rotates auth.Caller, replay ...auth.Caller) (child string) {
	t.Helper()
	for i, caller := range append([]auth.Caller{rotates}, replay...) {
		tokens, err := r.Refresh(t.Context(), caller, refreshToken, auth.ClientCredentials{})
		if err != nil {
			t.Fatalf("%s: %v", caller.UserAgent, err)
		}
		if i > 0 && tokens.RefreshToken != child {
			t.Fatalf("%s got another child", caller.UserAgent)
		}
		child = tokens.RefreshToken
	}
	return child
}

func wantSuspected(t testing.TB, db *testdb.DB, want int) {
	t.Helper()
	if got := count(events(t, db), "suspected_theft"); got != want {
		t.Errorf("%d thefts are suspected, want %d", got, want)
	}
}

func TestPacedTheft_SeenInTheThirdGeneration(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	current := a.login(t, "ana").RefreshToken
	for i, turn := range [][]auth.Caller{{owner, thief}, {thief, owner}, {owner, thief, thief}, {thief, owner}} {
		wantSuspected(t, db, max(i-2, 0))
		current = []replica{a, b}[i%2].turn(t, current, turn[0], turn[1:]...)
		db.Advance(t, time.Minute)
	}
	wantSuspected(t, db, 1)
	text := one[string](t, db, `SELECT detail::text || address || user_agent || request_id FROM audit_events WHERE kind = 'suspected_theft'`)
	wantContains(t, text, `"presented_generation": 2`, `"current_generation": 3`, `"current_user_agent": "owner"`,
		`"current_address": "192.0.2.1"`, "198.51.100.1", "thief", "request-1")
	a.refresh(t, current)
	a.wantInvariants(t)
}

func TestPacedTheft_IsReuseWhereItRevokes(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, revokePacedTheft)
	r.addUser(t, "ana")
	other := r.login(t, "ana")
	current := r.login(t, "ana").RefreshToken
	current = r.turn(t, current, owner, thief)
	current = r.turn(t, current, thief, owner)
	newest, err := r.Refresh(t.Context(), owner, current, auth.ClientCredentials{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Refresh(t.Context(), thief, current, auth.ClientCredentials{}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("the third generation: error %v, want ErrInvalidRefreshToken", err)
	}
	r.wantRefused(t, newest.RefreshToken)
	r.wantSignedOut(t, newest)
	r.wantSignedIn(t, other)
	wantSuspected(t, db, 1)
	if reason := one[string](t, db, `SELECT revoked_reason FROM token_families WHERE revoked_at IS NOT NULL`); reason != "paced_theft" {
		t.Errorf("revoked for %q", reason)
	}
	r.wantInvariants(t)
}

func TestPacedTheft_AGenerationWithoutAForeignReplayBreaksTheRow(t *testing.T) {
	t.Parallel()
	breaks := map[string][]auth.Caller{
		"not replayed":              {owner},
		"replayed by its own party": {owner, owner},
	}
	for name, pause := range breaks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db, revokePacedTheft)
			r.addUser(t, "ana")
			current := r.login(t, "ana").RefreshToken
			for range 3 {
				// Of one generation many replays count as one.
				current = r.turn(t, current, owner, thief, thief, thief)
				current = r.turn(t, current, owner, thief)
				current = r.turn(t, current, pause[0], pause[1:]...)
			}
			wantSuspected(t, db, 0)
		})
	}
}

// What honest clients do, over more generations than a thief would get.
func TestPacedTheft_HonestClientsAreNotSuspected(t *testing.T) {
	t.Parallel()
	const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	var tabs []auth.Caller
	for i := range 5 {
		tabs = append(tabs, from(browser, fmt.Sprintf("198.51.%d.7", i)), from(browser, fmt.Sprintf("2001:db8:%d::7", i)))
	}
	cases := map[string][]auth.Caller{
		"ten tabs over IPv4 and IPv6, on changing networks":           tabs,
		"a renderer that passes on the browser's user agent":          {from(browser, "192.0.2.1"), from(browser, "203.0.113.9")},
		"a renderer with its own user agent in the browser's network": {from(browser, "192.0.2.1"), from("node", "192.0.2.200")},
		"a renderer on IPv4 beside a browser on IPv6":                 {from(browser, "2001:db8::1"), from("node", "203.0.113.9")},
	}
	for name, parties := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db, revokePacedTheft)
			r.addUser(t, "ana")
			current := r.login(t, "ana").RefreshToken
			for range 5 {
				current = r.turn(t, current, parties[0], parties[1:]...)
				parties = append(parties[1:], parties[0])
			}
			wantSuspected(t, db, 0)
		})
	}
}

// The limits of what can be told, as docs/threat-model.md has them: should one of these be seen one day,
// the page is to say so.
func TestPacedTheft_WhatCannotBeTold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		party auth.Caller
		want  int
	}{
		"a thief with the owner's user agent and network":                  {from("owner", "192.0.2.99"), 0},
		"a thief with the owner's user agent":                              {from("owner", "198.51.100.1"), 0},
		"a thief in the other family of addresses":                         {from("thief", "2001:db8::1"), 0},
		"no thief, but a renderer with a user agent and network by itself": {from("node", "203.0.113.9"), 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			current := r.login(t, "ana").RefreshToken
			for range 5 {
				current = r.turn(t, current, owner, c.party)
			}
			wantSuspected(t, db, c.want)
		})
	}
}

func TestPacedTheft_CountingCostsNoStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	first := r.login(t, "ana").RefreshToken
	r.turn(t, first, owner)
	r.turn(t, first, owner) // the first replay in a minute, of which the audit trail tells
	r.statements.take()
	r.turn(t, first, owner)
	plain := r.statements.take()
	r.turn(t, first, thief)
	if foreign := r.statements.take(); len(foreign) != len(plain) {
		t.Errorf("a foreign replay runs %q, another %q", foreign, plain)
	}
	if n := one[int](t, db, `SELECT foreign_replays FROM token_families`); n != 1 {
		t.Errorf("%d foreign replays are counted", n)
	}
}
