package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kindred/internal/account"
	"kindred/internal/auth"
)

var operator = auth.Caller{Actor: "cli"}

// client is the command of the stories that adds and changes OAuth clients as an operator does.
func (s *story) client(c in) {
	c.wantArgs(2, 4)
	id := c.args[1]
	switch c.args[0] {
	case "add":
		secret, err := s.services[0].AddClient(s.t.Context(), operator, account.Client{
			ID: id, Name: id, Type: account.ClientType(c.args[2]), MayIntrospect: len(c.args) == 4 && c.args[3] == "may-introspect",
		})
		c.Check(err)
		c.Setenv(id+"Secret", secret.Reveal())
	case "rotate-secret":
		secret, err := s.services[0].RotateClientSecret(s.t.Context(), operator, id)
		c.Check(err)
		c.Setenv(id+"Secret", secret.Reveal())
	case "disable":
		c.Check(s.services[0].DisableClient(s.t.Context(), operator, id))
	default:
		c.Fatalf("client add, rotate-secret or disable")
	}
}

func (s *story) wantBody(c in) {
	c.wantArgs(1, 1)
	if s.body != c.args[0] {
		c.Fatalf("the body is %q, want %q", s.body, c.args[0])
	}
}

// basic encodes ID:SECRET as RFC 6749 §2.3.1 has it.
func basic(pair string) string {
	id, secret, _ := strings.Cut(pair, ":")
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// logInBy logs user1 in through a client and returns the refresh token.
func (s *story) logInBy(t testing.TB, clientID, secret string) string {
	t.Helper()
	body := `{"username":"user1","password":"password123","clientId":"` + clientID + `"}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.servers[0].URL+"/login", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if secret != "" {
		request.Header.Set("Authorization", basic(clientID+":"+secret))
	}
	answer, err := s.servers[0].Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var tokens struct {
		RefreshToken string `json:"refreshToken"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&tokens); err != nil || tokens.RefreshToken == "" {
		t.Fatalf("login: %d, error %v", answer.StatusCode, err)
	}
	return tokens.RefreshToken
}

// RFC 7009 §2.2.1: 503 says that the token may be as good as before.
func TestRevoke_TroubleIs503AndRevokesNothing(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	if _, err := s.services[0].CreateUser(t.Context(), operator, "user1", "password123", account.RoleUser); err != nil {
		t.Fatal(err)
	}
	post := func(path string, form url.Values) *http.Response {
		t.Helper()
		answer, err := s.servers[0].Client().PostForm(s.servers[0].URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	refresh := s.logInBy(t, "kindred", "")
	s.db.Exec(t, `ALTER TABLE token_families RENAME TO elsewhere`)
	answer := post("/revoke", url.Values{"token": {refresh}})
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", answer.StatusCode, answer.Header.Get("Retry-After"))
	}
	s.db.Exec(t, `ALTER TABLE elsewhere RENAME TO token_families`)
	if answer := post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); answer.StatusCode != http.StatusOK {
		t.Errorf("the token that was not revoked: status %d", answer.StatusCode)
	}
}
