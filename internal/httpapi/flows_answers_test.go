package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// wantEverywhere is what holds for each answer of each story.
func (s *story) wantEverywhere(c in) {
	caching := "no-store"
	path := s.answer.Request.URL.Path
	if (strings.HasPrefix(path, "/.well-known/") || path == "/openapi.json") && s.answer.StatusCode < http.StatusBadRequest {
		caching = "public, max-age=300"
	}
	for name, value := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": contentPolicy(s.answer, s.body), "Cache-Control": caching,
	} {
		if got := s.answer.Header.Get(name); got != value {
			c.Fatalf("%s is %q, want %q", name, got, value)
		}
	}
	if s.answer.Header.Get("X-Request-Id") == "" {
		c.Fatalf("no request id")
	}
	if s.answer.StatusCode >= 500 && s.answer.Header.Get("Retry-After") == "" {
		c.Fatalf("%d without Retry-After: %s", s.answer.StatusCode, s.body)
	}
	c.Check(s.document.describes(s.answer, s.body))
}

func (s *story) status(c in) {
	c.wantArgs(1, 1)
	if got := strconv.Itoa(s.answer.StatusCode); got != c.args[0] {
		c.Fatalf("status %s, want %s: %s", got, c.args[0], s.body)
	}
}

// problem checks the whole of RFC 9457's object, not only its code.
func (s *story) problem(c in) {
	c.wantArgs(2, 2)
	s.status(in{c.TestScript, false, c.args[:1]})
	if got := s.answer.Header.Get("Content-Type"); got != "application/problem+json" {
		c.Fatalf("content type %q", got)
	}
	for path, want := range map[string]string{
		"code": c.args[1], "status": c.args[0], "type": "urn:kindred:problem:" + c.args[1], "requestId": s.answer.Header.Get("X-Request-Id"),
	} {
		if got, _ := s.member(c, path); got != want {
			c.Fatalf("%s is %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"title", "detail"} {
		if got, _ := s.member(c, path); got == "" {
			c.Fatalf("no %s in %s", path, s.body)
		}
	}
	if s.answer.StatusCode == http.StatusUnauthorized && s.answer.Header.Get("WWW-Authenticate") == "" {
		c.Fatalf("401 without WWW-Authenticate")
	}
}

func (s *story) oauth(c in) {
	c.wantArgs(2, 2)
	s.status(in{c.TestScript, false, c.args[:1]})
	if got, _ := s.member(c, "error"); got != c.args[1] || s.answer.Header.Get("Content-Type") != "application/json" {
		c.Fatalf("error %q, want %q", got, c.args[1])
	}
}

func (s *story) json(c in) {
	c.wantArgs(1, 2)
	got, there := s.member(c, c.args[0])
	if c.negated {
		if there {
			c.Fatalf("%s is there: %s", c.args[0], s.body)
		}
		return
	}
	if !there || len(c.args) == 2 && got != c.args[1] {
		c.Fatalf("%s is %q in %s", c.args[0], got, s.body)
	}
}

// member finds a.b.0.c in the last answer.
func (s *story) member(c in, path string) (string, bool) {
	var value any
	decoder := json.NewDecoder(strings.NewReader(s.body))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		c.Fatalf("the answer is not JSON: %q", s.body)
	}
	for _, step := range strings.Split(path, ".") {
		switch at := value.(type) {
		case map[string]any:
			member, there := at[step]
			if !there {
				return "", false
			}
			value = member
		case []any:
			if step == "length" {
				value = len(at)
				continue
			}
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(at) {
				return "", false
			}
			value = at[n]
		default:
			return "", false
		}
	}
	return fmt.Sprint(value), true
}

func (s *story) header(c in) {
	c.wantArgs(1, 2)
	got := strings.Join(s.answer.Header.Values(c.args[0]), "\n")
	switch {
	case c.negated && len(c.args) == 1 && got != "", c.negated && len(c.args) == 2 && strings.Contains(got, c.args[1]):
		c.Fatalf("%s is there: %q", c.args[0], got)
	case !c.negated && (got == "" || len(c.args) == 2 && !strings.Contains(got, c.args[1])):
		c.Fatalf("%s is %q", c.args[0], got)
	}
}

func (s *story) save(c in) {
	c.wantArgs(2, 2)
	if name, found := strings.CutPrefix(c.args[1], "cookie:"); found {
		c.Setenv(c.args[0], s.jar[name])
		return
	}
	if name, found := strings.CutPrefix(c.args[1], "header:"); found {
		c.Setenv(c.args[0], s.answer.Header.Get(name))
		return
	}
	value, there := s.member(c, c.args[1])
	if !there {
		c.Fatalf("%s is not in %s", c.args[1], s.body)
	}
	c.Setenv(c.args[0], value)
}

func (s *story) same(c in) {
	c.wantArgs(2, 2)
	if c.args[0] != c.args[1] || c.args[0] == "" {
		c.Fatalf("%q and %q are not the same", c.args[0], c.args[1])
	}
}

func (s *story) differ(c in) {
	c.wantArgs(2, 2)
	if c.args[0] == c.args[1] {
		c.Fatalf("both are %q", c.args[0])
	}
}

func (s *story) events(c in) {
	c.wantArgs(2, 3)
	actor := append(c.args, "")[2] // empty: whoever it was
	var got int
	err := s.db.Conn(s.t).QueryRow(s.t.Context(), `SELECT count(*) FROM audit_events WHERE kind = $1 AND $2 IN ('', actor)`, c.args[0], actor).Scan(&got)
	c.Check(err)
	if strconv.Itoa(got) != c.args[1] {
		c.Fatalf("%d events %s, want %s", got, c.args[0], c.args[1])
	}
}
