package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

func TestExitCode_TheWholeTable(t *testing.T) {
	t.Parallel()
	for code, causes := range map[int][]error{
		exitFailed:   {errors.New("anything"), auth.ErrNoKeyBox, &store.SchemaError{}, fmt.Errorf("%w: %w", auth.ErrUnavailable, context.Canceled)},
		exitUsage:    {&usageError{"x"}, &auth.QueryError{}},
		exitNotFound: {auth.ErrUserNotFound, auth.ErrFamilyNotFound, auth.ErrClientNotFound, auth.ErrKeyNotFound},
		exitRefused: {
			&account.InvalidError{}, auth.ErrUsernameTaken, auth.ErrClientExists, auth.ErrClientDisabled, auth.ErrPublicClient, auth.ErrKeyInUse, errRefused,
		},
		exitUnavailable: {auth.ErrUnavailable},
	} {
		for _, cause := range causes {
			if got := exitCode(&bodyError{&wordedError{"x", fmt.Errorf("wrapped: %w", cause)}}); got != code {
				t.Errorf("%v: exit code %d, want %d", cause, got, code)
			}
		}
	}
	if got := exitCode(errors.New("cobra's own")); got != exitUsage {
		t.Errorf("what no body returned: exit code %d", got)
	}
}

func TestExitCode_WrongUsage(t *testing.T) {
	t.Parallel()
	o := newTerminal(t, testdb.Empty(t)) // nothing here reaches it
	for _, args := range [][]string{
		{"nonsense"}, {"user", "nonsense"}, {"user", "show"}, {"user", "show", "a", "b"}, {"user", "list", "--nonsense"}, {"user", "list", "--json=perhaps"},
		{"session", "nonsense"}, {"session", "revoke"}, {"keys", "nonsense"}, {"client", "add", "x"}, {"migrate", "sideways"},
	} {
		stdout, stderr, code := run(t, "", o.environ, args...)
		if code != exitUsage || !strings.HasPrefix(stderr, "kindred: ") || stdout != "" {
			t.Errorf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	o.want(0, "Usage:", "", "user")
	o.want(0, "  5  the database is not available", "", "help", "exit-codes")
}

func TestExitCode_DatabaseIsAway(t *testing.T) {
	t.Parallel()
	o := terminal{t, []string{"DATABASE_URL=postgres://u:p@127.0.0.1:1/x"}}
	for _, args := range [][]string{
		{"user", "list"}, {"user", "delete", "ana", "--yes"}, {"session", "list", "ana"}, {"client", "list"}, {"check"}, {"migrate", "status"},
	} {
		o.want(exitUnavailable, "kindred: ", "", args...)
	}
}

// commands are those that do something, without the servers.
func commands(t testing.TB) (list []*cobra.Command) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		if cmd.Runnable() && !cmd.HasSubCommands() {
			list = append(list, cmd)
		}
	}
	walk(newRoot(process{stdin: os.Stdin, stdout: t.Output(), stderr: t.Output()}))
	return list
}

func TestCommands_EachPrintsJSON(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(t) {
		switch path := cmd.CommandPath(); path {
		case "kindred dev", "kindred serve", "kindred migrate up", "kindred migrate down", // they tell what they do as they do it
			"kindred completion": // what it prints is a script
		default:
			if cmd.Flags().Lookup("json") == nil {
				t.Errorf("%s has no --json", path)
			}
		}
	}
}

func TestCommands_JSONOfEach(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	o := newTerminal(t, db)
	o.environ = append(o.environ, keyEncryptionKey)
	wantMembers(t, o.json(goodPassword, "user", "add", "ana", "--password-stdin")[0], map[string]any{"username": "ana", "role": "user"})
	wantMembers(t, o.json("", "user", "enable", "ana")[0], map[string]any{"username": "ana", "version": 1})
	secret := o.json("", "client", "add", "shop", "--type", "confidential")[0]
	wantMembers(t, secret, map[string]any{"id": "shop"})
	if !strings.HasPrefix(fmt.Sprint(secret["secret"]), "kcs_") {
		t.Errorf("no secret in %v", secret)
	}
	if again := o.json("", "client", "rotate-secret", "shop")[0]; again["secret"] == secret["secret"] || again["secret"] == nil {
		t.Errorf("another secret is %v", again)
	}
	wantMembers(t, o.json("", "client", "disable", "shop")[0], map[string]any{"id": "shop", "disabled": true})
	client := o.json("", "client", "list")[0]
	wantMembers(t, client, map[string]any{"id": "shop", "type": "confidential", "mayIntrospect": false, "secret": nil})
	if client["disabledAt"] == nil {
		t.Errorf("not disabled: %v", client)
	}

	first := o.json("", "keys", "rotate")[0]["kid"]
	wantMembers(t, o.json("", "keys", "list")[0], map[string]any{"kid": first, "state": "signing", "algorithm": "ES256", "verifiesUntil": nil})
	wantMembers(t, o.json("", "keys", "reencrypt")[0], map[string]any{"reencrypted": 1})
	revoked := o.json("", "keys", "revoke", "--", fmt.Sprint(first))[0]
	wantMembers(t, revoked, map[string]any{"kid": first})
	if revoked["successor"] == nil {
		t.Errorf("no successor: %v", revoked)
	}

	wantMembers(t, o.json("", "check")[0], map[string]any{"violations": []any{}})
	wantMembers(t, o.json("", "migrate", "status")[0], map[string]any{"version": 1, "name": "00001_users.sql", "applied": true})
	wantMembers(t, o.json("", "version")[0], map[string]any{"version": "dev"})
}

// The page lists each command with its flags, so that nobody looks for one that is not there.
func TestDocs_NameEachCommand(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range commands(t) {
		path := strings.TrimPrefix(cmd.CommandPath(), "kindred ")
		if group, _, _ := strings.Cut(path, " "); group != "user" && group != "session" {
			continue
		}
		if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(path) + "[ `]").Match(text) {
			t.Errorf("docs/admin.md has no line for %s", path)
		}
	}
	for _, line := range strings.Split(exitCodes, "\n")[2:] {
		if code := regexp.MustCompile(`^  (\d)  `).FindStringSubmatch(line); code != nil && !strings.Contains(string(text), "| "+code[1]+" |") {
			t.Errorf("docs/admin.md has no line for exit code %s", code[1])
		}
	}
}
