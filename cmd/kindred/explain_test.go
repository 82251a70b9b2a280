package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
)

// as asks like another device behind a proxy that is trusted.
func (s *serving) as(t testing.TB, agent, address, path, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", agent)
	request.Header.Set("X-Forwarded-For", address)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// secrets are the hashes and seals of a database in the forms in which somebody might print them.
func secrets(t testing.TB, db *testdb.DB) []string {
	t.Helper()
	rows, err := db.Conn(t).Query(t.Context(), `
		SELECT token_hash FROM refresh_tokens UNION ALL SELECT current_hash FROM token_families
		UNION ALL SELECT successor_seal FROM token_families WHERE successor_seal IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil || len(list) < 4 {
		t.Fatalf("%d secrets, error %v", len(list), err)
	}
	var forms []string
	for _, secret := range list {
		// Without the last characters, which depend on the padding.
		forms = append(forms, hex.EncodeToString(secret[:24]), base64.StdEncoding.EncodeToString(secret[:24]), base64.URLEncoding.EncodeToString(secret[:24]))
	}
	return forms
}

// theft is a stolen token over two processes, and what an operator may ask with.
type theft struct {
	db                *testdb.DB
	a, b              *serving
	familyID, request string // the session, and the request that betrayed it
}

func stealToken(t *testing.T) theft {
	t.Helper()
	db := testdb.New(t)
	environ := serveEnvironment(db.URL(), "REFRESH_REUSE_INTERVAL=0", "TRUSTED_PROXIES=127.0.0.0/8")
	s := theft{db: db, a: startServing(t, environ), b: startServing(t, environ)}
	addUser(t, db.URL(), "ana")
	tokens := s.a.as(t, laptop.UserAgent, "192.0.2.17", "/login", `{"username":"ana","password":"password123"}`)
	copied := tokens.field(t, "refreshToken")
	current := s.b.as(t, laptop.UserAgent, "192.0.2.17", "/token", refreshBody(copied)).field(t, "refreshToken")
	s.a.as(t, laptop.UserAgent, "192.0.2.17", "/token", refreshBody(current))
	refused := s.b.as(t, "python-requests/2.32.3", "198.51.100.7", "/token", refreshBody(copied))
	wantStatus(t, refused, http.StatusForbidden)
	s.request = refused.header.Get("X-Request-Id")
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT id::text FROM token_families`).Scan(&s.familyID); err != nil {
		t.Fatal(err)
	}
	return s
}

// explain returns all that the command prints.
func (s theft) explain(t *testing.T, fails bool, args ...string) string {
	t.Helper()
	stdout, stderr, got := run(t, "", []string{"DATABASE_URL=" + s.db.URL()}, append([]string{"explain"}, args...)...)
	if (got != 0) != fails {
		t.Fatalf("%v: exit code %d\n%s%s", args, got, stdout, stderr)
	}
	return stdout + stderr
}

// api returns the answer of both processes.
func (s theft) api(t *testing.T) string {
	t.Helper()
	addUser(t, s.db.URL(), "root")
	s.db.Exec(t, `UPDATE users SET role = 'admin' WHERE username = 'root'`)
	admin := s.a.login(t, "root").field(t, "accessToken")
	first, second := s.a.get(t, "/admin/families/"+s.familyID, admin), s.b.get(t, "/admin/families/"+s.familyID, admin)
	wantStatus(t, first, http.StatusOK)
	if first.body != second.body {
		t.Errorf("two replicas, two answers:\n%s\n%s", first.body, second.body)
	}
	return first.body
}

// By the session, its user and the request that was refused; as a drawing, as JSON and by the API.
func TestExplain_AStolenTokenOverTwoProcesses(t *testing.T) {
	t.Parallel()
	s := stealToken(t)
	printed := s.api(t)
	if text := s.explain(t, false, "--json", s.familyID); text != printed+"\n" {
		t.Errorf("the command line's JSON differs from the API's:\n%s\n%s", text, printed)
	}
	for _, what := range []string{s.familyID, "ana", s.request} {
		text := s.explain(t, false, what)
		for _, part := range []string{
			"LIKELY THEFT", "Session " + s.familyID + " of ana", "├──✗", "python-requests/2.32.3  198.51.100.7  presented again",
			"request " + s.request, "reuse_detected, by Kindred's own rules",
		} {
			if !strings.Contains(text, part) {
				t.Errorf("explain %s: %q is not in\n%s", what, part, text)
			}
		}
		var parsed struct {
			Family     struct{ ID string }
			Assessment struct{ Verdict string }
		}
		asJSON := s.explain(t, false, what, "--json")
		if err := json.Unmarshal([]byte(asJSON), &parsed); err != nil || parsed.Family.ID != s.familyID || parsed.Assessment.Verdict != "likely_theft" {
			t.Errorf("explain --json %s: %+v, error %v", what, parsed, err)
		}
		printed += text + asJSON
	}
	for _, secret := range secrets(t, s.db) {
		if strings.Contains(strings.ToLower(printed), strings.ToLower(secret)) {
			t.Errorf("%s is in what was printed", secret)
		}
	}
	if strings.Contains(printed, "krt_") || strings.Contains(printed, "\x1b") {
		t.Errorf("a token or a colour is in\n%s", printed)
	}
}

func TestExplain_WhereThereIsNothingToDraw(t *testing.T) {
	t.Parallel()
	s := theft{db: testdb.New(t)}
	addUser(t, s.db.URL(), "idler")
	for _, c := range []struct {
		fails bool
		args  []string
		want  string
	}{
		{false, []string{"idler"}, "idler has no session on record.\n"},
		{false, []string{"idler", "--json"}, "{}\n"},
		{true, []string{"nobody"}, `"nobody" is no session, no user and no request`},
		{true, []string{"a\x1b[2Jb"}, `"a\x1b[2Jb" is no session`},
		{true, nil, "accepts 1 arg"},
	} {
		if text := s.explain(t, c.fails, c.args...); !strings.Contains(text, c.want) {
			t.Errorf("explain %q: %q", c.args, text)
		}
	}
}
