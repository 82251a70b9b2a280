package httpapi_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"kindred/internal/testdb"
)

// provocation is what any request can do wrong, and the code that it is refused with where the route minds.
type provocation struct {
	code string
	spot string
	do   func(*http.Request, liveValues)
}

func provocations() []provocation {
	authorization := func(values ...string) func(*http.Request, liveValues) {
		return func(r *http.Request, _ liveValues) {
			r.Header.Del("Cookie")
			r.Header["Authorization"] = values
		}
	}
	body := func(mediaType, text string) func(*http.Request, liveValues) {
		return func(r *http.Request, _ liveValues) {
			r.Header.Set("Content-Type", mediaType)
			r.GetBody = nil
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	return []provocation{
		{"two_credentials", "two headers", authorization("Bearer x", "Bearer y")},
		{"two_credentials", "two cookies", func(r *http.Request, _ liveValues) {
			for _, value := range []string{"x", "y"} {
				r.AddCookie(&http.Cookie{Name: "__Host-kindred_refresh", Value: value})
			}
		}},
		{"invalid_access_token", "nonsense", authorization("Bearer nonsense")},
		{"invalid_client", "nonsense", authorization("Basic nonsense")},
		{"not_an_admin", "a user", func(r *http.Request, live liveValues) { authorization("Bearer "+live.anas)(r, live) }},
		{"token_required", "nothing", func(r *http.Request, live liveValues) {
			authorization()(r, live)
			body("application/json", "")(r, live)
		}},
		{"cross_origin_refused", "another's page", func(r *http.Request, _ liveValues) {
			r.Header.Set("Origin", "https://another.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}},
		{"tls_required", "a proxy's word", func(r *http.Request, _ liveValues) { r.Header.Set("X-Forwarded-Proto", "http") }},
		{"malformed_request", "the query", func(r *http.Request, _ liveValues) { r.URL.RawQuery = "except=x&nonsense=x" }},
		{"malformed_request", "JSON", body("application/json", "[")},
		{"malformed_request", "a form", body("application/x-www-form-urlencoded", "%zz")},
		{"invalid_request", "a form", body("application/x-www-form-urlencoded", "%zz")},
		{"unsupported_media_type", "text", body("text/plain", "x")},
		{"too_large", "JSON", body("application/json", strings.Repeat(" ", 64<<10+1))},
	}
}

// Each way in which any request can be wrong is tried on each operation: it is refused for that if and only if the
// document says so.
func TestOpenAPI_RefusalsAreThoseOfEachRoute(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	d, w := readDocument(t), newExampleWorld(t, db, db.URL())
	for path, item := range d.Paths.Map() {
		for method, operation := range item.Operations() {
			refused := map[string]bool{}
			for _, e := range examplesOf(path, method, item, operation) {
				w.provoke(t, d, e, refused)
			}
			for code, documented := range documentedCodes(operation) {
				if refused[code] != documented {
					t.Errorf("%s %s refuses with %s: %v; so says openapi.json: %v", method, path, code, refused[code], documented)
				}
			}
		}
	}
}

// provoke notes the codes that an example is refused with.
func (w exampleWorld) provoke(t *testing.T, d document, e example, refused map[string]bool) {
	t.Helper()
	live := w.begin(t, e)
	for _, p := range provocations() {
		answer, body := w.send(t, e, live, func(r *http.Request) { p.do(r, live) })
		if answer.StatusCode < http.StatusMultipleChoices {
			live = w.begin(t, e) // it did something
			continue
		}
		if err := d.describes(answer, body); err != nil {
			t.Errorf("%s, %s of %s: %v", e, p.code, p.spot, err)
		}
		for _, member := range []string{`"code":"`, `"error":"`} {
			if _, rest, there := strings.Cut(body, member); there {
				code, _, _ := strings.Cut(rest, `"`)
				refused[code] = true
			}
		}
	}
}

// documentedCodes tells of each code of a provocation whether an answer of an operation may have it, in this API's
// words or in OAuth's.
func documentedCodes(operation *openapi3.Operation) map[string]bool {
	codes := map[string]bool{}
	for _, p := range provocations() {
		codes[p.code] = false
	}
	for _, response := range operation.Responses.Map() {
		for _, content := range response.Value.Content {
			if content.Schema == nil {
				continue
			}
			for _, code := range words(slices.Concat(narrowed(content.Schema, "code"), narrowed(content.Schema, "error"))) {
				if _, provoked := codes[code]; provoked {
					codes[code] = true
				}
			}
		}
	}
	return codes
}
