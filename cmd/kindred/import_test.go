package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

// importedHash is bcrypt of "password123", at the lowest cost.
const importedHash = "$2a$04$LnEZZxU/PrfFar2zpISew.H7KcPu69EIK/JEr0iZj1/2APKuaycP6"

func TestUserImport_ReportsLineByLineAndGoesOn(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	environ := []string{"DATABASE_URL=" + db.URL()}
	user := func(name, more string) string {
		return `{"username":"` + name + `","passwordHash":"` + importedHash + `"` + more + `}`
	}
	file := filepath.Join(t.TempDir(), "users.jsonl")
	text := strings.Join([]string{
		user("ana", `,"role":"editor","claims":{"plan":"gold"},"createdAt":"2019-05-06T07:08:09Z","id":"0190abcd-0000-7000-8000-00000000000f"`),
		"",
		user("bob", `,"secret":"hunter2"`),
		user("carl", `,"disabled":"yes"`),
		`{"username":"dora","passwordHash":"hunter2"}`,
		user("ANA", ""),
		"[" + importedHash + "]",
		user("emil", `,"role":"user","role":"admin"`),
		user("frank", strings.Repeat(" ", 70_000)),
		user("gina", `,"claims":{"role":"admin"}`),
		`{"username":"hugo"}`,
		user("ida", `,"id":"0190abcd-0000-7000-8000-00000000000f"`),
		user("j\x1b[2J", ""),
		user("kim", "") + "\r",
		user("lea", ""), // without a line break behind it
	}, "\n")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`line 1: "ana" added`, `line 3: "" refused: invalid line: The member "/secret" is not known.`, `line 4: "" refused: invalid line: The member "/disabled" is not what it should be.`,
		`line 5: "dora" refused: invalid passwordHash: `, `line 6: "ANA" exists`, `line 7: "" refused: invalid line: It is no JSON object`, `line 8: "" refused: invalid line: A member is given twice.`,
		`line 9: "" refused: invalid line: It is no JSON object in UTF-8, or is longer than 64 KiB.`, `line 10: "gina" refused: invalid claims: "role"`, `line 11: "" refused: invalid line: It needs`,
		`line 12: "ida" refused: user id is taken`, `line 13: "" refused: invalid line: It is no JSON object`, `line 14: "kim" added`, `line 15: "lea" added`, `3 added, 1 exist, 10 refused`,
	}
	stdout, stderr, code := run(t, "", environ, "user", "import", file)
	got := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	for i := range min(len(got), len(want)) {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
	if code != 1 || len(got) != len(want) || strings.Contains(stdout+stderr, "hunter2") || strings.Contains(stdout+stderr, "$2a") || strings.Contains(stdout, "\x1b") {
		t.Errorf("exit code %d, %d lines, want %d:\n%s%s", code, len(got), len(want), stdout, stderr)
	}

	// Whoever was imported logs in with what would not be let pass today.
	s := startServing(t, serveEnvironment(db.URL()))
	s.login(t, "kim")
	if me := s.get(t, "/me", s.login(t, "ana").field(t, "accessToken")); me.status != http.StatusOK || !strings.Contains(me.body, `"role":"editor"`) || !strings.Contains(me.body, "0190abcd-0000-7000-8000-00000000000f") {
		t.Errorf("%d %s", me.status, me.body)
	}
	// Once more, as after an interruption, from standard input and for programs to read.
	stdout, _, code = run(t, user("lea", "")+"\n"+user("mia", ""), environ, "user", "import", "-", "--json")
	var last map[string]int
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || code != 0 || last["added"] != 1 || last["exists"] != 1 || lines[0] != `{"line":1,"username":"lea","outcome":"exists"}` {
		t.Errorf("exit code %d, error %v:\n%s", code, err, stdout)
	}
}

// What is not the line's fault ends the import, and says where.
func TestUserImport_TroubleEndsIt(t *testing.T) {
	t.Parallel()
	_, stderr, code := run(t, "\n"+`{"username":"ana","passwordHash":"`+importedHash+`"}`, []string{"DATABASE_URL=postgres://127.0.0.1:1/x"}, "user", "import", "-")
	if code != exitUnavailable || !strings.Contains(stderr, "line 2: ") || !strings.Contains(stderr, "can be given again") || strings.Contains(stderr, "$2a") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := run(t, "", []string{"DATABASE_URL=postgres://127.0.0.1:1/x"}, "user", "import", "/none"); code != 1 || !strings.Contains(stderr, "/none") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
