package account_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"kindred/internal/account"
)

func TestParseUsername_OneUserUnderAllSpellings(t *testing.T) {
	t.Parallel()
	groups := [][]string{
		{"ana", "Ana", "ANA"},
		{"Zo\u00eb", "Zoe\u0308", "ZO\u00cb", "zoe\u0308"},
		{"straße", "STRASSE", "Strasse"},
		{"Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
	}
	keys := map[string]int{}
	for i, group := range groups {
		for _, name := range group {
			u, err := account.ParseUsername(name)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			if other, taken := keys[u.Key()]; taken && other != i {
				t.Errorf("%q shares its key with group %d", name, other)
			}
			keys[u.Key()] = i
		}
	}
	if len(keys) != len(groups) {
		t.Errorf("%d groups of spellings have %d keys: %v", len(groups), len(keys), keys)
	}
}

func TestParseUsername_KeyIsStable(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ana", "Zoe\u0308", "STRASSE", "ΣΊΣΥΦΟΣ", "a b@c.example", "İstanbul", "\u1e9e"} {
		u, err := account.ParseUsername(name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		again, err := account.ParseUsername(u.String())
		if err != nil || again != u {
			t.Errorf("%q as shown parses to %q, %v", name, again, err)
		}
	}
}

// Whatever the letter: the key of a key is itself, and the key of the other case is the same.
func TestParseUsername_KeyOfEveryLetter(t *testing.T) {
	t.Parallel()
	for r := rune(1); r <= unicode.MaxRune; r++ {
		u, err := account.ParseUsername(string(r))
		if err != nil {
			continue
		}
		again, err := account.ParseUsername(u.Key())
		if err != nil || again.Key() != u.Key() {
			t.Errorf("%U has the key %+q, which has the key %+q, error %v", r, u.Key(), again.Key(), err)
		}
		for _, cased := range []rune{unicode.ToLower(r), unicode.SimpleFold(r)} {
			if other, err := account.ParseUsername(string(cased)); err == nil && other.Key() != u.Key() {
				t.Errorf("%U and %U are two users: %+q and %+q", r, cased, u.Key(), other.Key())
			}
		}
	}
}

func TestParseUsername_Refusals(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"empty": "", "blank at the end": "ana ", "blank at the start": " ana", "NUL": "a\x00b", "line break": "a\nb",
		"escape": "a\x1b[31m", "bad UTF-8": "a\xff", "zero width": "a\u200bb", "grapheme joiner": "a\u034f",
		"variation selector": "a\ufe0f", "Hangul filler": "a\u3164", "empty Braille pattern": "a\u2800", "right-to-left override": "a\u202eb",
		"65 characters": strings.Repeat("x", 65), "257 bytes": strings.Repeat("\U0001f600", 65), "only a space": " ",
	} {
		_, err := account.ParseUsername(value)
		var invalid *account.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "username" {
			t.Errorf("%s: error %v, want one about the username", name, err)
		}
	}
	if _, err := account.ParseUsername(strings.Repeat("\U0001f600", 64)); err != nil {
		t.Errorf("64 characters of four bytes: %v", err)
	}
}

func TestParseRole(t *testing.T) {
	t.Parallel()
	for role, ok := range map[string]bool{"user": true, "admin": true, "read-only_2": true, "": false, "Admin": false, "a b": false, "é": false, strings.Repeat("a", 33): false, "a\x00b": false} {
		if _, err := account.ParseRole(role); (err == nil) != ok {
			t.Errorf("%q: error %v", role, err)
		}
	}
}
