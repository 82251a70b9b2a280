package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"kindred/internal/auth"
)

func (s *story) enable(c in) {
	c.wantArgs(1, 1)
	c.Check(s.services[0].EnableUser(s.t.Context(), auth.Caller{Actor: "cli"}, c.args[0]))
}

func (s *story) remove(c in) {
	c.wantArgs(1, 1)
	c.Check(s.services[0].DeleteUser(s.t.Context(), auth.Caller{Actor: "cli"}, c.args[0]))
}

func (s *story) role(c in) {
	c.wantArgs(2, 2)
	c.Check(s.services[0].SetRole(s.t.Context(), auth.Caller{Actor: "cli"}, c.args[0], c.args[1]))
}

func (s *story) resetLink(c in) {
	c.wantArgs(2, 2)
	link, err := s.services[0].MakeResetLink(s.t.Context(), auth.Caller{Actor: "cli"}, c.args[0])
	c.Check(err)
	token, found := strings.CutPrefix(link.URL.Reveal(), publicURL+"/reset?token=")
	if !found {
		c.Fatalf("the link is %s", link.URL.Reveal())
	}
	c.Setenv(c.args[1], token)
}

func (s *story) maxSessions(c in) {
	c.wantArgs(1, 1)
	n, err := strconv.Atoi(c.args[0])
	c.Check(err)
	s.start(replicaConfig{maxSessions: n})
}

func (s *story) page(c in) {
	c.wantArgs(1, 1)
	if got := s.answer.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		c.Fatalf("content type %q", got)
	}
	if strings.Contains(s.body, c.args[0]) == c.negated {
		c.Fatalf("%q: %v in\n%s", c.args[0], !c.negated, s.body)
	}
}

// contentPolicy is the one that an answer has to have. A page lets its own style in, by its hash, and posts to its
// own origin.
func contentPolicy(answer *http.Response, body string) string {
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
		return "default-src 'none'; frame-ancestors 'none'"
	}
	_, rest, _ := strings.Cut(body, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	digest := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
