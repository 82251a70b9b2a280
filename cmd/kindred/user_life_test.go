package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

func TestUser_RolePasswordResetDelete(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	o.environ = append(o.environ, "PUBLIC_URL=https://id.example")
	addUser(t, db.URL(), "ana")
	s := startServing(t, serveEnvironment(db.URL()))
	wantMembers(t, o.json("", "user", "set-role", "ANA", "admin")[0], map[string]any{"role": "admin", "version": 2})
	o.want(4, "invalid role", "", "user", "set-role", "ana", "A B")

	tokens := s.login(t, "ana")
	wantMembers(t, o.json(goodPassword+"\n", "user", "set-password", "ana", "--password-stdin")[0], map[string]any{"version": 3})
	wantStatus(t, s.refresh(t, tokens.field(t, "refreshToken")), http.StatusForbidden)

	link := strings.TrimSpace(o.want(0, "a link for ana", "", "user", "reset-password", "ana"))
	if !strings.HasPrefix(link, "https://id.example/reset?token=") || strings.ContainsAny(link, " \n") {
		t.Errorf("printed %q", link)
	}
	if again := o.json("", "user", "reset-password", "ana")[0]; fmt.Sprint(again["url"]) == link || again["expiresAt"] == nil {
		t.Errorf("printed %v", again)
	}
	wantMembers(t, o.json("", "user", "delete", "ana", "--yes")[0], map[string]any{"username": "ana", "deleted": true})
	o.want(3, "no user", "", "user", "delete", "ana", "--yes")
	for _, args := range [][]string{{"set-role", "ana", "user"}, {"reset-password", "ana"}} {
		o.want(3, "no user", "", append([]string{"user"}, args...)...)
	}
}
