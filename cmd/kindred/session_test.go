package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

func TestSession_ListShowRevoke(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	addUser(t, db.URL(), "ana")
	s := startServing(t, serveEnvironment(db.URL()))
	phone, laptop, tablet := s.login(t, "ana"), s.login(t, "ana"), s.login(t, "ana")

	list := o.json("", "session", "list", "ANA")
	if len(list) != 3 {
		t.Fatalf("the list is %v", list)
	}
	// The newest is first.
	wantMembers(t, list[0], map[string]any{"state": "live", "clientId": "kindred", "ip": "127.0.0.1", "generation": 0, "revoked": nil, "endedAt": nil})
	id := fmt.Sprint(list[0]["id"])
	o.want(0, "live", "", "session", "show", id)
	wantMembers(t, o.json("", "session", "revoke", id)[0], map[string]any{"id": id, "state": "revoked"})
	o.want(0, "ended "+id, "", "session", "revoke", id)
	o.want(0, "ended_by_admin", "", "session", "show", id)
	wantStatus(t, s.refresh(t, tablet.field(t, "refreshToken")), http.StatusForbidden)
	wantStatus(t, s.refresh(t, laptop.field(t, "refreshToken")), http.StatusOK)
	if live := o.json("", "session", "list", "ana", "--state", "live"); len(live) != 2 {
		t.Errorf("live are %v", live)
	}

	wantMembers(t, o.json("", "session", "revoke", "--all", "ana")[0], map[string]any{"ended": 2})
	o.want(0, "ended 0 sessions", "", "session", "revoke", "--all", "ana")
	wantStatus(t, s.refresh(t, phone.field(t, "refreshToken")), http.StatusForbidden)
	var byCLI int
	err := db.Conn(t).QueryRow(t.Context(), `SELECT count(*) FROM audit_events WHERE kind = 'family_revoked' AND actor = 'cli'`).Scan(&byCLI)
	if err != nil || byCLI != 3 {
		t.Errorf("%d families ended by the command line, error %v", byCLI, err)
	}

	const nobody = "00000000-0000-7000-8000-000000000000"
	o.want(2, "is no session's id", "", "session", "revoke", "ana")
	o.want(2, "is no session's id", "", "session", "show", "ana")
	o.want(3, "there is no session", "", "session", "revoke", nobody)
	o.want(3, "there is no session", "", "session", "show", nobody)
	o.want(3, "there is no user", "", "session", "list", "bob")
	o.want(3, "there is no user", "", "session", "revoke", "--all", "bob")
	o.want(2, "state must be", "", "session", "list", "ana", "--state", "old")
}

// User agents are anybody's words: none moves an operator's cursor or turns a line around.
func TestSession_ListShowsNoUserAgentsTricks(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	addUser(t, db.URL(), "ana")
	s := startServing(t, serveEnvironment(db.URL()))
	id := s.login(t, "ana")
	wantStatus(t, id, http.StatusOK)
	db.Exec(t, `UPDATE token_families SET last_user_agent = E'a\tb\u202Ec\u009B2Jd'`)
	for _, text := range []string{o.want(0, "a·b·c·2Jd", "", "session", "list", "ana"), o.want(0, "", "", "session", "show", fmt.Sprint(o.json("", "session", "list", "ana")[0]["id"]))} {
		if strings.ContainsAny(text, "\t\u202e\u009b") {
			t.Errorf("printed %q", text)
		}
	}
}
