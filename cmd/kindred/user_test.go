package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

// terminal runs commands on one database.
type terminal struct {
	t       testing.TB
	environ []string
}

func newTerminal(t testing.TB, db *testdb.DB) terminal {
	return terminal{t, []string{"DATABASE_URL=" + db.URL()}}
}

// want runs a command and returns what it printed on standard output; part is somewhere in all that it printed.
func (o terminal) want(code int, part, stdin string, args ...string) string {
	o.t.Helper()
	stdout, stderr, got := run(o.t, stdin, o.environ, args...)
	if got != code || !strings.Contains(stdout+stderr, part) {
		o.t.Errorf("%q: exit code %d, want %d with %q in\n%s%s", args, got, code, part, stdout, stderr)
	}
	return stdout
}

// json runs a command with --json and reads the objects that it prints, one a line.
func (o terminal) json(stdin string, args ...string) []map[string]any {
	o.t.Helper()
	var list []map[string]any
	for line := range strings.Lines(o.want(0, "", stdin, slices.Insert(args, min(2, len(args)), "--json")...)) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			o.t.Fatalf("%q prints %q: %v", args, line, err)
		}
		list = append(list, object)
	}
	return list
}

func wantMembers(t testing.TB, object map[string]any, members map[string]any) {
	t.Helper()
	for name, want := range members {
		if got := object[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v in %v", name, got, want, object)
		}
	}
}

func TestUser_ListAndShow(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	for _, name := range []string{"zoe", "Ana", "anatol"} {
		addUser(t, db.URL(), name)
	}
	ana := o.json("", "user", "show", "ANA")[0]
	wantMembers(t, ana, map[string]any{"username": "Ana", "role": "user", "version": 1, "disabledAt": nil})
	id := fmt.Sprint(ana["id"])
	o.want(0, "password changed", "", "user", "show", id)
	wantMembers(t, o.json("", "user", "disable", id)[0], map[string]any{"username": "Ana", "version": 2})

	var names []string
	for _, u := range o.json("", "user", "list") {
		names = append(names, fmt.Sprint(u["username"]))
	}
	if got := strings.Join(names, " "); got != "Ana anatol zoe" {
		t.Errorf("the list is %s", got)
	}
	if list := o.want(0, "NAME", "", "user", "list", "--search", "aNa", "--state", "disabled"); strings.Count(list, "\n") != 2 || !strings.Contains(list, id) {
		t.Errorf("the list is\n%s", list)
	}
	o.want(2, "state must be", "", "user", "list", "--state", "gone")
	o.want(4, "invalid role", "", "user", "list", "--role", "A")
	o.want(3, `there is no user "nobody"`, "", "user", "show", "nobody")
	o.want(3, `there is no user "\u202e"`, "", "user", "show", "\u202e")
}

// A list is longer than one page of it.
func TestUser_ListGoesOnBehindTheFirstPage(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `INSERT INTO users (id, username, username_key, role, password_hash, created_at, password_changed_at)
		SELECT gen_random_uuid(), 'user' || i, 'user' || i, 'user', 'x', now(), now() FROM generate_series(1, 1001) AS i`)
	if list := newTerminal(t, db).json("", "user", "list"); len(list) != 1001 {
		t.Errorf("%d of 1001 users", len(list))
	}
}

func TestUser_DeleteAsksFirst(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	addUser(t, db.URL(), "ana")
	o.want(2, "--yes", "ana\n", "user", "delete", "ana")
	o.want(0, "ana", "", "user", "show", "ana")
	o.want(3, "no user", "", "user", "delete", "bob")
}

func TestUser_ResetPasswordMustKnowWhereItsLinksLead(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	addUser(t, db.URL(), "ana")
	o.want(1, "PUBLIC_URL is not set", "", "user", "reset-password", "ana")
	o.environ = append(o.environ, "PUBLIC_URL=id.example")
	o.want(1, "PUBLIC_URL must be an origin", "", "user", "reset-password", "ana")
}

func TestUser_PasswordsComeFromNoArgument(t *testing.T) {
	t.Parallel()
	o := newTerminal(t, testdb.New(t))
	for _, args := range [][]string{
		{"user", "add", "ana", "hunter2hunter2"}, {"user", "set-password", "ana", "hunter2hunter2"}, {"user", "add", "ana", "--password=hunter2hunter2"},
		{"user", "set-password", "ana", "--password", "hunter2hunter2"},
	} {
		stdout, stderr, code := run(t, "", o.environ, args...)
		if code != exitUsage || strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	o.want(exitUsage, "--password-stdin", "", "user", "set-password", "ana")
}
