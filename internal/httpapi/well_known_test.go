package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/httpapi"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

// newKeyedAPI signs access tokens with keys of the database.
func newKeyedAPI(t testing.TB, db *testdb.DB, keyEncryptionKey byte) (*auth.Service, *httpapi.API) {
	t.Helper()
	box, err := token.NewKeyBox(bytes.Repeat([]byte{keyEncryptionKey}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return newAPI(t, db, replicaConfig{url: db.URL(), timeout: 5 * time.Second, keys: token.NewKeys(), keyBox: box})
}

func askKeySet(t testing.TB, api http.Handler, method, ifNoneMatch string) (*http.Response, string) {
	t.Helper()
	request := httptest.NewRequest(method, "/.well-known/jwks.json", nil)
	if ifNoneMatch != "" {
		request.Header.Set("If-None-Match", ifNoneMatch)
	}
	recorder := httptest.NewRecorder()
	api.ServeHTTP(recorder, request)
	answer := recorder.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func wantHeaders(t testing.TB, answer *http.Response, status int, want map[string]string) {
	t.Helper()
	if answer.StatusCode != status {
		t.Errorf("status %d, want %d", answer.StatusCode, status)
	}
	for name, value := range want {
		if got := answer.Header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if answer.Header.Get("X-Request-Id") == "" {
		t.Error("no request id")
	}
}

func TestKeySet_MayBeKeptForFiveMinutes(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	service, api := newKeyedAPI(t, db, 1)
	_, neighbour := newKeyedAPI(t, db, 1)
	safe := map[string]string{
		"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	}
	answer, body := askKeySet(t, api, http.MethodGet, "")
	wantHeaders(t, answer, http.StatusOK, safe)
	wantHeaders(t, answer, http.StatusOK, map[string]string{"Content-Type": "application/jwk-set+json"}) // RFC 7517 §8.5.2
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(body), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("error %v in %s", err, body)
	}
	var names []string
	for name := range set.Keys[0] {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"alg", "crv", "kid", "kty", "use", "x", "y"}) || set.Keys[0]["alg"] != "ES256" || set.Keys[0]["use"] != "sig" {
		t.Errorf("key %v", set.Keys[0])
	}

	tag := answer.Header.Get("ETag")
	if other, same := askKeySet(t, neighbour, http.MethodGet, ""); same != body || other.Header.Get("ETag") != tag {
		t.Error("two replicas show different key sets")
	}
	for _, held := range []string{tag, `"x", ` + tag, "W/" + tag, "*"} {
		unchanged, nothing := askKeySet(t, api, http.MethodGet, held)
		wantHeaders(t, unchanged, http.StatusNotModified, map[string]string{"ETag": tag, "Cache-Control": "public, max-age=300"})
		if nothing != "" {
			t.Errorf("304 with a body: %s", nothing)
		}
	}
	head, nothing := askKeySet(t, api, http.MethodHead, "")
	wantHeaders(t, head, http.StatusOK, safe)
	if nothing != "" || head.Header.Get("ETag") != tag {
		t.Errorf("HEAD: body %q, ETag %s", nothing, head.Header.Get("ETag"))
	}
	if post, _ := askKeySet(t, api, http.MethodPost, ""); post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", post.StatusCode, post.Header.Get("Allow"))
	}

	if _, err := service.RotateKey(t.Context(), auth.Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := service.LoadKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if changed, _ := askKeySet(t, api, http.MethodGet, tag); changed.StatusCode != http.StatusOK || changed.Header.Get("ETag") == tag {
		t.Errorf("after a rotation: %d, ETag %s", changed.StatusCode, changed.Header.Get("ETag"))
	}
}

// The secret of HS256 is nobody's to see.
func TestKeySet_OfASecretIsEmpty(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	_, api := newAPI(t, db, replicaConfig{url: db.URL(), timeout: 5 * time.Second})
	answer, body := askKeySet(t, api, http.MethodGet, "")
	wantHeaders(t, answer, http.StatusOK, map[string]string{"Content-Type": "application/jwk-set+json"})
	if body != `{"keys":[]}` {
		t.Errorf("key set %s", body)
	}
}

// An empty answer would be kept for five minutes by all who verify.
func TestKeySet_NoneIsLoaded(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	good, _ := newKeyedAPI(t, db, 1)
	if err := good.LoadKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, api := newKeyedAPI(t, db, 2)
	trouble, body := askKeySet(t, api, http.MethodGet, "")
	wantHeaders(t, trouble, http.StatusServiceUnavailable, map[string]string{"Cache-Control": "no-store", "Retry-After": "1", "Content-Type": "application/problem+json", "ETag": ""})
	if bytes.Contains([]byte(body), []byte("does not open")) {
		t.Errorf("strangers are told why: %s", body)
	}
}

// A key of the set may have been revoked while the database could not be asked: whoever verifies with it
// must not keep it for five minutes more.
func TestKeySet_ThatMayBeOldIsNotToBeKept(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	_, api := newKeyedAPI(t, db, 7)
	fresh, body := askKeySet(t, api, http.MethodGet, "")
	if kept := fresh.Header.Get("Cache-Control"); kept != "public, max-age=300" {
		t.Errorf("Cache-Control is %q", kept)
	}
	db.Exec(t, `ALTER TABLE signing_keys RENAME TO elsewhere`)
	for deadline := time.Now().Add(10 * time.Second); ; {
		old, same := askKeySet(t, api, http.MethodGet, "")
		if old.StatusCode != http.StatusOK || same != body {
			t.Fatalf("status %d: %s", old.StatusCode, same)
		}
		if old.Header.Get("Cache-Control") == "no-store" && old.Header.Get("ETag") == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Cache-Control is still %q", old.Header.Get("Cache-Control"))
		}
	}
}
