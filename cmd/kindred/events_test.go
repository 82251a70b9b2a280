package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

func TestEvents_OfAUserASessionARequest(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	addUser(t, db.URL(), "ana")
	addUser(t, db.URL(), "bob")
	s := startServing(t, serveEnvironment(db.URL()))
	s.login(t, "bob")
	wantStatus(t, s.login(t, "ana"), http.StatusOK)

	list := o.json("", "events", "--user=ANA")
	if len(list) != 2 {
		t.Fatalf("the events are %v", list)
	}
	wantMembers(t, list[0], map[string]any{"kind": "login_ok", "ip": "127.0.0.1", "actor": ""})
	wantMembers(t, list[1], map[string]any{"kind": "user_created", "actor": "cli"})
	family, request := fmt.Sprint(list[0]["familyId"]), fmt.Sprint(list[0]["requestId"])
	if list := o.json("", "events", "--family="+family); len(list) != 1 {
		t.Errorf("the session's events are %v", list)
	}
	if list := o.json("", "events", "--request-id="+request); len(list) != 1 {
		t.Errorf("the request's events are %v", list)
	}
	if list := o.json("", "events", "--since=1h", "--limit=3", "--kind=login_ok,user_created"); len(list) != 3 {
		t.Errorf("the last three events are %v", list)
	}
	if list := o.json("", "events", "--until=1h", "--limit=0"); len(list) != 0 {
		t.Errorf("the events before an hour are %v", list)
	}
	o.want(0, "login_ok ", "", "events", "--user", "ana")
	o.want(0, "session "+family, "", "events", "--user", "ana")
	o.want(3, "there is no user", "", "events", "--user", "carl")
	o.want(2, "must be the name of a kind", "", "events", "--kind", "tea")
	o.want(2, "must be the id of a session", "", "events", "--family", "tea")
	o.want(2, "--since must be a time", "", "events", "--since", "tea")
	o.want(2, "", "", "events", "--follow", "--until", "1h")
}

func TestEvents_FollowTellsOfWhatHappensUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "ana")
	s := startServing(t, serveEnvironment(db.URL()))
	cmd := command(t, []string{"DATABASE_URL=" + db.URL()}, "events", "--follow", "--json", "--user", "ana", "--since", "1h")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	want := func(kind string) {
		t.Helper()
		var event struct{ Kind string }
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &event) != nil || event.Kind != kind {
			t.Fatalf("read %q, error %v; want %s", lines.Text(), lines.Err(), kind)
		}
	}
	want("user_created")
	wantStatus(t, s.login(t, "ana"), http.StatusOK)
	want("login_ok")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// Whoever follows sees what comes also after PostgreSQL was stopped and started again, each event once.
func TestEvents_FollowGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t)
	addUser(t, server.URL(), "ana")
	cmd := command(t, []string{"DATABASE_URL=" + server.URL()}, "events", "--follow", "--since", "1h")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown, said := newOutput(stdout), newOutput(stderr)
	shown.await(t, "user_created (.*)\n")
	server.Stop(t, "fast")
	said.await(t, "still trying")
	server.Start(t)
	addUser(t, server.URL(), "bob")
	shown.await(t, "(?s)user_created .*user_created .*\n")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
	if n := strings.Count(shown.String(), "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, shown)
	}
}

func TestPrinter_EventIsOneLine(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	db.Exec(t, `INSERT INTO audit_events (id, at, kind, user_agent, actor) VALUES (gen_random_uuid(), clock_timestamp(), 'logout', E'a\nb\u202Ec', E'x\ty')`)
	if text := o.want(0, "a·b·c", "", "events"); strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\t\u202e") {
		t.Errorf("printed %q", text)
	}
}
