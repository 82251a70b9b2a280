package httpapi_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// A reset token stands in a URL. Neither it nor a password that comes with it may be in a log.
func TestReset_NoLogHasTheTokenOrAPassword(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	var log bytes.Buffer // the requests come one after the other, without a server
	service, api := newAPI(t, db, replicaConfig{url: db.URL(), timeout: 5 * time.Second, log: &log})
	if _, err := service.CreateUser(t.Context(), auth.Caller{Actor: "cli"}, "user1", "password123", "user"); err != nil {
		t.Fatal(err)
	}
	link, err := service.MakeResetLink(t.Context(), auth.Caller{Actor: "cli"}, "user1")
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(link.URL.Reveal(), publicURL)
	_, token, _ := strings.Cut(path, "token=")
	for _, c := range []struct {
		method, path, mediaType, body string
		status                        int
	}{
		{http.MethodGet, path, "", "", http.StatusOK},
		{http.MethodDelete, path, "", "", http.StatusMethodNotAllowed},
		{http.MethodGet, "/else" + path, "", "", http.StatusNotFound},
		{http.MethodPost, "/password/reset", "application/json", `{"token":"` + token + `","newPassword":"short"}`, http.StatusUnprocessableEntity},
		{http.MethodPost, "/reset", "application/x-www-form-urlencoded", "token=" + token + "&password=password456", http.StatusOK},
		{http.MethodPost, "/password/reset", "application/json", `{"token":"` + token + `","newPassword":"password789"}`, http.StatusBadRequest},
	} {
		request := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		if c.mediaType != "" {
			request.Header.Set("Content-Type", c.mediaType)
		}
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, request)
		if answer.Code != c.status {
			t.Errorf("%s %.9s: status %d, want %d: %s", c.method, c.path, answer.Code, c.status, answer.Body)
		}
	}
	for _, secret := range []string{token[4:], "password456", "password789", "short"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%.5s… is in the log:\n%s", secret, &log)
		}
	}
	if n := strings.Count(log.String(), `"route":"/reset"`); n != 2 {
		t.Errorf("%d log lines of the page, want 2:\n%s", n, &log)
	}
}

// A person gets a page also where PostgreSQL is away, with the link still in its form.
func TestReset_DatabaseAwayIsAPage(t *testing.T) {
	t.Parallel()
	_, api := newAPI(t, testdb.New(t), replicaConfig{url: "postgres://127.0.0.1:1/x", timeout: time.Second})
	token := "kpr_" + strings.Repeat("A", 43)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/reset", strings.NewReader("token="+token+"&password=password456"))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, request)
	body := answer.Body.String()
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.HasPrefix(answer.Header().Get("Content-Type"), "text/html") ||
		!strings.Contains(body, token) || !strings.Contains(body, "try again") || strings.Contains(body, "requestId") {
		t.Errorf("%d %v %s", answer.Code, answer.Header(), body)
	}
}
