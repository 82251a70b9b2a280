package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/httpapi"
	"kindred/internal/testdb"
)

// Whole requests without a network, to be profiled: docs/performance.md has the command. They log as
// `serve` does, to nowhere.

func BenchmarkRefresh(b *testing.B) {
	api, token, _ := benchmarked(b)
	for b.Loop() {
		var answer struct{ RefreshToken string }
		if err := json.Unmarshal(ask(b, api, http.MethodPost, "/token", `{"refreshToken":"`+token+`"}`, ""), &answer); err != nil {
			b.Fatal(err)
		}
		token = answer.RefreshToken
	}
}

func BenchmarkProtected(b *testing.B) {
	api, _, token := benchmarked(b)
	for b.Loop() {
		ask(b, api, http.MethodGet, "/protected", "", token)
	}
}

func benchmarked(b *testing.B) (api *httpapi.API, refreshToken, accessToken string) {
	b.Helper()
	db := testdb.New(b)
	service, api := newAPI(b, db, replicaConfig{url: db.URL(), timeout: 5 * time.Second, log: io.Discard, fed: true})
	if _, err := service.CreateUser(b.Context(), auth.Caller{}, "user1", "password123", "user"); err != nil {
		b.Fatal(err)
	}
	tokens, err := service.Login(b.Context(), auth.Caller{}, auth.LoginRequest{Username: "user1", Password: "password123"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return api, tokens.RefreshToken, tokens.AccessToken
}

func ask(b *testing.B, api *httpapi.API, method, path, body, bearer string) []byte {
	b.Helper()
	request := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		b.Fatalf("%s %s: status %d: %s", method, path, answer.Code, answer.Body)
	}
	return answer.Body.Bytes()
}
