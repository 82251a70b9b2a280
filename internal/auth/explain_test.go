package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/family"
	"kindred/internal/testdb"
)

func (r replica) explain(t testing.TB, what string) auth.Answer {
	t.Helper()
	answer, err := r.Explain(t.Context(), what, 100)
	if err != nil {
		t.Fatalf("explain %s: %v", what, err)
	}
	return answer
}

// stolen is a session of which the thief has got a generation that the owner presents again, on another
// replica; it returns the family.
func stolen(t testing.TB, db *testdb.DB, a, b replica) uuid.UUID {
	t.Helper()
	tokens, err := a.Login(t.Context(), owner, auth.LoginRequest{Username: "ana", Password: userPassword})
	if err != nil {
		t.Fatal(err)
	}
	db.Advance(t, time.Minute)
	current := a.turn(t, tokens.RefreshToken, owner)
	db.Advance(t, time.Minute)
	b.turn(t, b.turn(t, current, thief), thief)
	db.Advance(t, time.Minute)
	late := owner
	late.RequestID = "request-late"
	if _, err := a.Refresh(t.Context(), late, current, auth.ClientCredentials{}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Fatalf("error %v", err)
	}
	return familyIDOf(t, tokens)
}

func TestExplain_AStolenTokenWhateverOneHasOfIt(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	user := a.addUser(t, "ana")
	id := stolen(t, db, a, b)
	before := state(t, db)
	for _, what := range []string{id.String(), strings.ToUpper(id.String()), "ana", "ANA", user.ID.String(), "request-late"} {
		answer := b.explain(t, what)
		e := answer.Explanation
		if e == nil || e.Family.ID != id || e.Username != "ana" || e.State != family.StateRevoked || len(e.Generations) != 4 || e.Folded != 0 {
			t.Fatalf("%s: %+v", what, answer)
		}
		if e.Assessment.Finding != family.FindingLikelyTheft {
			t.Errorf("%s: %+v", what, e.Assessment)
		}
		c := e.Copy
		if c == nil || c.Presented != 1 || c.Current != 3 || c.RequestID != "request-late" || c.PresentedBy.UserAgent != "owner" ||
			c.IssuedTo.UserAgent != "owner" || c.ReplacedBy.UserAgent != "thief" || c.Holder != (family.Party{UserAgent: "thief", Address: thief.Address}) ||
			c.At.Sub(c.ReplacedAt).Round(time.Minute) != time.Minute || c.At.Sub(c.IssuedAt).Round(time.Minute) != 2*time.Minute {
			t.Errorf("%s: %+v", what, c)
		}
	}
	if answer := a.explain(t, "request-late"); len(answer.Request) != 2 {
		t.Errorf("the request recorded %+v", answer.Request)
	}
	if after := state(t, db); after != before {
		t.Error("explaining changes something")
	}
}

func TestExplain_ReplaysStandBesideTheirGeneration(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	r.turn(t, r.turn(t, tokens.RefreshToken, owner), owner, owner)
	e := *r.explain(t, "ana").Explanation
	if e.State != family.StateLive || e.Copy != nil || e.Assessment.Finding != family.FindingNone || len(e.Assessment.Evidence) != 1 {
		t.Errorf("%+v", e.Lineage)
	}
	if got := []int{e.Generations[0].Replays, e.Generations[1].Replays, e.Generations[2].Replays}; got[0] != 0 || got[1] != 1 || got[2] != 0 {
		t.Errorf("replays %v", got)
	}
}

// Of several sessions the one is meant that ended last, unless the user logged out of it.
func TestExplain_OfAUserTheSessionThatSomebodyAsksAbout(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	user := r.addUser(t, "ana")
	wantAbout := func(what string, tokens auth.Tokens, sessions int) auth.Explanation {
		t.Helper()
		answer := r.explain(t, what)
		if answer.Explanation == nil || answer.Explanation.Family.ID != familyIDOf(t, tokens) || len(answer.Sessions) != sessions {
			t.Fatalf("%s: %+v", what, answer)
		}
		return *answer.Explanation
	}
	if answer := r.explain(t, "ana"); answer.Explanation != nil || answer.Username != "ana" || len(answer.Sessions) != 0 {
		t.Errorf("who never logged in: %+v", answer)
	}
	idle := r.login(t, "ana")
	wantAbout("ana", idle, 1)
	db.Advance(t, 2*time.Hour)
	live, left := r.login(t, "ana"), r.login(t, "ana")
	if err := r.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: left.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	if e := wantAbout("ana", idle, 3); e.State != family.StateIdle {
		t.Errorf("%s", e.State)
	}
	if err := r.DisableUser(t.Context(), auth.Caller{Actor: "cli"}, "ana"); err != nil {
		t.Fatal(err)
	}
	if e := wantAbout(user.ID.String(), live, 3); !strings.Contains(e.Assessment.Summary, "disabled by an operator") {
		t.Errorf("%q", e.Assessment.Summary)
	}
	db.Exec(t, `UPDATE users SET username = NULL, username_key = NULL, password_hash = NULL, deleted_at = clock_timestamp()`)
	if e := wantAbout(user.ID.String(), live, 3); e.Username != "" {
		t.Errorf("a deleted user is called %q", e.Username)
	}
	if _, err := r.Explain(t.Context(), "ana", 10); !errors.Is(err, auth.ErrNothingKnown) {
		t.Errorf("by a name that is free again: %v", err)
	}
}

// An id may be a family's, a user's and a request's, and somebody's name.
func TestExplain_ANameThatLooksLikeAnIDHidesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	id := familyIDOf(t, tokens).String()
	impostor := r.addUser(t, id)
	if answer := r.explain(t, id); answer.Explanation == nil || answer.Explanation.Username != "ana" {
		t.Errorf("%+v", answer)
	}
	request := caller
	request.RequestID = impostor.ID.String()
	if _, err := r.CreateUser(t.Context(), request, "bob", userPassword, account.RoleUser); err != nil {
		t.Fatal(err)
	}
	if answer := r.explain(t, impostor.ID.String()); answer.Request != nil || answer.Username != id {
		t.Errorf("%+v", answer)
	}
	nobody := uuid.NewString()
	r.addUser(t, nobody)
	if answer := r.explain(t, nobody); answer.Username != nobody || answer.Explanation != nil {
		t.Errorf("%+v", answer)
	}
}

func TestExplain_ARequestThatTouchedNoSession(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana") // by request-1
	answer := r.explain(t, "request-1")
	if answer.Explanation != nil || len(answer.Request) != 1 || answer.Request[0].Kind != audit.UserCreated || len(answer.Sessions) != 0 {
		t.Errorf("%+v", answer)
	}
}

func TestExplain_WhatNothingIsKnownBy(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	for _, what := range []string{"", "nobody", uuid.NewString(), uuid.Nil.String(), "a\x00b", "\xff", "krt_AAAA"} {
		if _, err := r.Explain(t.Context(), what, 10); !errors.Is(err, auth.ErrNothingKnown) || !errors.Is(err, auth.ErrFamilyNotFound) {
			t.Errorf("%q: error %v", what, err)
		}
	}
	if _, err := r.ExplainFamily(t.Context(), uuid.New(), 10); !errors.Is(err, auth.ErrFamilyNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestExplain_ALostToken(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	r.wantRefused(t, forge(t, tokens.RefreshToken, true))
	e := r.explain(t, "ana").Explanation
	if e.State != family.StateLive || e.Assessment.Finding != family.FindingTokenLost {
		t.Errorf("%+v", e.Assessment)
	}
}

func TestExplain_AfterThePurge(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	id := stolen(t, db, a, b)
	db.Exec(t, `DELETE FROM refresh_tokens; DELETE FROM token_families`)
	e := a.explain(t, id.String()).Explanation
	if e.State != family.StatePurged || e.Now.IsZero() || len(e.Generations) != 0 || e.Assessment.Finding != family.FindingLikelyTheft || e.Copy == nil || e.Family.RevokedReason != family.ReasonReuseDetected {
		t.Errorf("%+v", e)
	}
}

// What the audit trail holds in a row of its own, by a newer or an older binary, must not end the reading.
func TestExplain_BearsDetailsItDoesNotKnow(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	id := stolen(t, db, a, b)
	for _, detail := range []string{`{}`, `{"presented_generation": "one", "generation": null, "reason": 7}`, `{"presented_generation": 99, "current_rotated_at": "yesterday", "current_address": "nowhere"}`} {
		db.Exec(t, `INSERT INTO audit_events (id, at, kind, family_id, detail)
			SELECT gen_random_uuid(), clock_timestamp(), kind, $1, $2 FROM unnest(ARRAY['reuse_detected', 'grace_replay', 'suspected_theft', 'of_tomorrow']) AS kind`, id, detail)
		if e := a.explain(t, id.String()).Explanation; e.State != family.StateRevoked || e.Copy == nil {
			t.Errorf("with %s: %+v", detail, e)
		}
	}
}

func TestExplain_TroubleIsNoAnswer(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplicaAt(t, db, "postgres://nobody@127.0.0.1:1/none")
	for _, what := range []string{"ana", uuid.NewString()} {
		if _, err := r.Explain(t.Context(), what, 10); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%s: error %v, want ErrUnavailable", what, err)
		}
	}
}

// Where there are too many sessions the oldest ends, and that is the one that somebody asks about.
func TestExplain_OfManySessionsTheOneThatEndedIsShown(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	var oldest auth.Tokens
	for i := range 33 {
		if tokens := r.login(t, "ana"); i == 0 {
			oldest = tokens
		}
	}
	if answer := r.explain(t, "ana"); len(answer.Sessions) != 30 || !answer.More || answer.Explanation.Family.ID != answer.Sessions[0].Family.ID {
		t.Errorf("%d sessions, more %v", len(answer.Sessions), answer.More)
	}
	id := familyIDOf(t, oldest)
	db.Exec(t, `UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = 'session_limit', revoked_by = 'kindred' WHERE id = $1`, id)
	if answer := r.explain(t, "ana"); len(answer.Sessions) != 31 || answer.Sessions[30].Family.ID != id || answer.Explanation.Family.ID != id {
		t.Errorf("%d sessions, explained %s, want %s", len(answer.Sessions), answer.Explanation.Family.ID, id)
	}
}
