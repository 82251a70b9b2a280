package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// An admin is told that nobody can tell, and never that he is none, while the database is of no use.
func TestAdmin_DatabaseAway(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"before the admin is known": `LOCK TABLE users, token_families IN ACCESS EXCLUSIVE MODE`,
		"at the act":                `SELECT FROM users WHERE username = 'ana' FOR UPDATE; SELECT FROM token_families FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			service, api := newAPI(t, db, replicaConfig{url: db.URL(), timeout: time.Second})
			server := httptest.NewServer(api)
			t.Cleanup(server.Close)
			boss, anas := loggedIn(t, service, "boss", "admin"), loggedIn(t, service, "ana", "user")
			page, err := service.Families(t.Context(), "ana", auth.FamilyQuery{Page: auth.Page{Limit: 1}})
			if err != nil {
				t.Fatal(err)
			}
			user, session := page.User.ID.String(), page.Families[0].ID.String()
			conn := db.Conn(t)
			if _, err := conn.Exec(t.Context(), `BEGIN; `+lock); err != nil {
				t.Fatal(err)
			}
			for _, act := range []string{
				"POST /admin/users/" + user + "/disable", "DELETE /admin/users/" + user + "/sessions", "DELETE /admin/sessions/" + session,
			} {
				status, header, text := askAs(t, server, boss.AccessToken, act)
				if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
					t.Errorf("%s: %d %s", act, status, text)
				}
			}
			if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
				t.Fatal(err)
			}
			if _, err := service.Refresh(t.Context(), auth.Caller{}, anas.RefreshToken, auth.ClientCredentials{}); err != nil {
				t.Errorf("something stands behind a 503: %v", err)
			}
		})
	}
}

func loggedIn(t testing.TB, service *auth.Service, name, role string) auth.Tokens {
	t.Helper()
	const pass = "password123"
	if _, err := service.CreateUser(t.Context(), auth.Caller{}, name, pass, role); err != nil {
		t.Fatal(err)
	}
	tokens, err := service.Login(t.Context(), auth.Caller{}, auth.LoginRequest{Username: name, Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// askAs sends METHOD PATH with an access token.
func askAs(t testing.TB, server *httptest.Server, accessToken, what string) (status int, header http.Header, body string) {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+accessToken)
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}
