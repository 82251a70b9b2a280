package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

func TestClient_AddListRotateDisable(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	environ := []string{"DATABASE_URL=" + db.URL()}
	want := func(code int, part string, args ...string) string {
		t.Helper()
		stdout, stderr, got := run(t, "", environ, append([]string{"client"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, part) {
			t.Errorf("%v: exit code %d, want %d with %q in\n%s%s", args, got, code, part, stdout, stderr)
		}
		return strings.TrimSuffix(stdout, "\n")
	}
	// The secret is all that is on standard output, so that a script can pass it on.
	first := want(0, "added shop, confidential", "add", "shop", "--type", "confidential", "--name", "The shop", "--may-introspect")
	if !strings.HasPrefix(first, "kcs_") || strings.ContainsAny(first, " \n") {
		t.Errorf("printed %q", first)
	}
	if printed := want(0, "added phone, public", "add", "phone", "--type", "public"); printed != "" {
		t.Errorf("a public client's secret: %q", printed)
	}
	want(4, "already", "add", "shop", "--type", "public")
	want(4, "built-in", "add", "kindred", "--type", "public")
	want(4, "invalid client id", "add", "a b", "--type", "public")
	want(4, "invalid client name", "add", "x", "--type", "public", "--name", "a\nb")
	want(4, "public or confidential", "add", "x", "--type", "secret")
	want(2, `"type" not set`, "add", "x")
	want(4, "cannot prove", "add", "x", "--type", "public", "--may-introspect")
	want(4, "is public", "rotate-secret", "phone")
	want(3, "no client", "rotate-secret", "nobody")
	want(3, "no client", "disable", "kindred")

	addUser(t, db.URL(), "user1")
	s := startServing(t, serveEnvironment(db.URL()))
	wantStatus(t, s.introspect(t, "shop", first), http.StatusOK)
	second := want(0, "cannot be shown again", "rotate-secret", "shop")
	wantStatus(t, s.introspect(t, "shop", first), http.StatusUnauthorized)
	wantStatus(t, s.introspect(t, "shop", second), http.StatusOK)
	want(0, "", "disable", "shop")
	wantStatus(t, s.introspect(t, "shop", second), http.StatusUnauthorized)
	want(4, "for good", "rotate-secret", "shop")
	want(4, "a disabled one keeps its id", "add", "shop", "--type", "public")

	list := want(0, "The shop", "list")
	for _, secret := range []string{first, second} {
		if strings.Contains(list, secret) {
			t.Error("the list shows a secret")
		}
	}
	if lines := strings.Split(list, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "phone ") || strings.Count(lines[2], "Z") != 2 {
		t.Errorf("the list is\n%s", list)
	}
}

func (s *serving) introspect(t testing.TB, id, secret string) answer {
	t.Helper()
	response, err := http.PostForm(s.url+"/introspect", url.Values{"token": {"x"}, "client_id": {id}, "client_secret": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return answer{response.StatusCode, response.Header, ""}
}
