package httpapi_test

import (
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
