package breach_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kindred/internal/breach"
)

const typed = "quiet lantern nine rivers"

func digest() string {
	sum := sha1.Sum([]byte(typed))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// service answers with a text and keeps what it was asked.
func service(t *testing.T, answer http.HandlerFunc) (url string, asked func() []*http.Request) {
	t.Helper()
	var requests []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []*http.Request { server.Close(); return requests }
}

func lines(list ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Join(list, "\r\n")) }
}

func TestContains_FindsTheSuffix(t *testing.T) {
	t.Parallel()
	other, suffix := strings.Repeat("A", 35), digest()[5:]
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   bool
	}{
		"known":               {lines(other+":3", suffix+":2"), true},
		"in lower case":       {lines(strings.ToLower(suffix) + ":2"), true},
		"not known":           {lines(other + ":3"), false},
		"padding":             {lines(other+":3", suffix+":0"), false},
		"known, then padding": {lines(suffix+":17", other+":0"), true},
	} {
		url, asked := service(t, c.answer)
		found, err := breach.New(url+"/").Contains(t.Context(), typed)
		if err != nil || found != c.want {
			t.Errorf("%s: %v, error %v", name, found, err)
		}
		for _, r := range asked() {
			if r.URL.Path != "/range/"+digest()[:5] || r.URL.RawQuery != "" || r.Header.Get("Add-Padding") != "true" {
				t.Errorf("%s: asked %s with %v", name, r.URL, r.Header)
			}
		}
	}
}

// No trouble says that a password is known, or shows a part of it.
func TestContains_TroubleIsAnErrorWithoutTheHash(t *testing.T) {
	t.Parallel()
	forever := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	elsewhere, askedElsewhere := service(t, lines(digest()[5:]+":1"))
	for name, answer := range map[string]http.HandlerFunc{
		"500":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"429":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"a page": lines("<html>", "<body>"), "nothing": lines(), "a short suffix": lines("ABC:1"), "one endless line": lines(strings.Repeat("A", 1<<21)),
		"never": forever,
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			lines(digest()[5:]+":1", strings.Repeat("A", 35)+":1")(w, nil)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusFound)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		url, _ := service(t, answer)
		found, err := breach.New(url).Contains(t.Context(), typed)
		if err == nil || found || strings.Contains(strings.ToUpper(err.Error()), digest()[:5]) {
			t.Errorf("%s: %v, error %v", name, found, err)
		}
	}
	if n := len(askedElsewhere()); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
	if _, err := breach.New("http://127.0.0.1:1").Contains(t.Context(), typed); err == nil || strings.Contains(err.Error(), digest()[:5]) {
		t.Errorf("nobody there: error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := breach.New(elsewhere).Contains(ctx, typed); err == nil {
		t.Error("asked although nobody waits")
	}
}
