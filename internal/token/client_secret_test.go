package token_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"kindred/internal/token"
)

func TestClientSecret_IsKnownByItsHash(t *testing.T) {
	t.Parallel()
	a, b := token.NewClientSecret(), token.NewClientSecret()
	if a == b || len(a.Reveal()) < 43 || !strings.HasPrefix(a.Reveal(), "kcs_") {
		t.Errorf("secrets %q and %q", a.Reveal(), b.Reveal())
	}
	if url.QueryEscape(a.Reveal()) != a.Reveal() {
		t.Errorf("%q is another in a form", a.Reveal())
	}
	for presented, want := range map[string]bool{
		a.Reveal(): true, b.Reveal(): false, "": false, a.Reveal() + " ": false, a.Reveal()[4:]: false, strings.ToUpper(a.Reveal()): false,
	} {
		if got := token.IsClientSecret(presented, a.Hash()); got != want {
			t.Errorf("%q: %v", presented, got)
		}
	}
}

// A client without a row, or without a secret, has a hash that nothing matches.
func TestIsClientSecret_NothingMatchesNoHash(t *testing.T) {
	t.Parallel()
	for _, presented := range []string{"", "x", strings.Repeat("\x00", 32), token.ClientSecret{}.Reveal()} {
		if token.IsClientSecret(presented, [32]byte{}) {
			t.Errorf("%q matches", presented)
		}
	}
}

func TestClientSecret_RedactsItself(t *testing.T) {
	t.Parallel()
	s := token.NewClientSecret()
	asJSON, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "s", s)
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s) + string(asJSON) + logged.String()
	if secret := strings.TrimPrefix(s.Reveal(), "kcs_"); strings.Contains(printed, secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) {
		t.Errorf("printed in clear: %s", printed)
	}
}
