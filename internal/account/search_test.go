package account_test

import (
	"errors"
	"strings"
	"testing"

	"kindred/internal/account"
)

func TestUsernamePrefix_BeginsTheKeysOfTheNamesMeant(t *testing.T) {
	t.Parallel()
	for prefix, name := range map[string]string{
		"": "Ana", "aN": "Ana", "Ana": "ANA", "ana ": "Ana Maria", "STRASS": "Straße", "straß": "STRASSE", "e\u0301t": "\u00c9tienne", "\u1f88": "\u1f80x", "  ana": "ana",
	} {
		key, err := account.UsernamePrefix(prefix)
		if err != nil {
			t.Errorf("%q: %v", prefix, err)
		}
		username, err := account.ParseUsername(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(username.Key(), key) {
			t.Errorf("%q gives %q, which does not begin %q", prefix, key, username.Key())
		}
	}
}

func TestUsernamePrefix_RefusesWhatBeginsNoName(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"a\x00", "\xff", "a\u200b", "a\nb", strings.Repeat("x", 65), strings.Repeat(" ", 257)} {
		_, err := account.UsernamePrefix(prefix)
		var invalid *account.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "search" {
			t.Errorf("%q: error %v", prefix, err)
		}
	}
}
