package httpapi_test

import (
	"encoding/base64"
	"net/url"
	"strings"

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
