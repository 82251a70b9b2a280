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

// A stolen token from the login to the explanation, over two processes: by the session, its user and the
// request that was refused, as a drawing, as JSON and by the API.
func TestExplain_AStolenTokenOverTwoProcesses(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	environ := serveEnvironment(db.URL(), "REFRESH_REUSE_INTERVAL=0", "TRUSTED_PROXIES=127.0.0.0/8")
	a, b := startServing(t, environ), startServing(t, environ)
	addUser(t, db.URL(), "ana")
	addUser(t, db.URL(), "root")
	db.Exec(t, `UPDATE users SET role = 'admin' WHERE username = 'root'`)

	tokens := a.as(t, laptop.UserAgent, "192.0.2.17", "/login", `{"username":"ana","password":"password123"}`)
	copied := tokens.field(t, "refreshToken")
	current := b.as(t, laptop.UserAgent, "192.0.2.17", "/token", refreshBody(copied)).field(t, "refreshToken")
	a.as(t, laptop.UserAgent, "192.0.2.17", "/token", refreshBody(current))
	refused := b.as(t, "python-requests/2.32.3", "198.51.100.7", "/token", refreshBody(copied))
	wantStatus(t, refused, http.StatusForbidden)
	var id string
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT id::text FROM token_families`).Scan(&id); err != nil {
		t.Fatal(err)
	}

	admin := a.login(t, "root").field(t, "accessToken")
	first, second := a.get(t, "/admin/families/"+id, admin), b.get(t, "/admin/families/"+id, admin)
	wantStatus(t, first, http.StatusOK)
	if first.body != second.body {
		t.Errorf("two replicas, two answers:\n%s\n%s", first.body, second.body)
	}
	explain := func(code int, args ...string) string {
		t.Helper()
		stdout, stderr, got := run(t, "", []string{"DATABASE_URL=" + db.URL()}, append([]string{"explain"}, args...)...)
		if got != code {
			t.Fatalf("%v: exit code %d\n%s%s", args, got, stdout, stderr)
		}
		return stdout + stderr
	}
	if text := explain(0, "--json", id); text != first.body+"\n" {
		t.Errorf("the command line's JSON differs from the API's:\n%s\n%s", text, first.body)
	}
	printed := first.body
	for _, what := range []string{id, "ana", refused.header.Get("X-Request-Id")} {
		text := explain(0, what)
		for _, part := range []string{"LIKELY THEFT", "Session " + id + " of ana", "├──✗", "python-requests/2.32.3  198.51.100.7  presented again", refused.header.Get("X-Request-Id"), "reuse_detected, by Kindred's own rules"} {
			if !strings.Contains(text, part) {
				t.Errorf("explain %s: %q is not in\n%s", what, part, text)
			}
		}
		var parsed struct {
			Family     struct{ ID string }
			Assessment struct{ Verdict string }
		}
		asJSON := explain(0, what, "--json")
		if err := json.Unmarshal([]byte(asJSON), &parsed); err != nil || parsed.Family.ID != id || parsed.Assessment.Verdict != "likely_theft" {
			t.Errorf("explain --json %s: %+v, error %v", what, parsed, err)
		}
		printed += text + asJSON
	}
	for _, secret := range secrets(t, db) {
		if strings.Contains(strings.ToLower(printed), strings.ToLower(secret)) {
			t.Errorf("%s is in what was printed", secret)
		}
	}
	if strings.Contains(printed, "krt_") || strings.Contains(printed, "\x1b") {
		t.Errorf("a token or a colour is in\n%s", printed)
	}
	if text := explain(0, "root"); !strings.Contains(text, "◇ live") {
		t.Errorf("a live session:\n%s", text)
	}
	addUser(t, db.URL(), "idler")
	if text := explain(0, "idler"); text != "idler has no session on record.\n" {
		t.Errorf("who never logged in: %q", text)
	}
	if text := explain(0, "idler", "--json"); text != "{}\n" {
		t.Errorf("who never logged in: %q", text)
	}
	if text := explain(1, "nobody"); !strings.Contains(text, `"nobody" is no session, no user and no request`) {
		t.Errorf("of nobody: %q", text)
	}
}
