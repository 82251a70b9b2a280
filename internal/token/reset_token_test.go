package token_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"kindred/internal/token"
)

func TestResetToken_OneSpelling(t *testing.T) {
	t.Parallel()
	a, b := token.NewResetToken(), token.NewResetToken()
	wire := a.Reveal()
	if a == b || !strings.HasPrefix(wire, "kpr_") || url.QueryEscape(wire) != wire {
		t.Fatalf("tokens %q and %q", wire, b.Reveal())
	}
	parsed, ok := token.ParseResetToken(wire)
	if !ok || parsed.Hash() != a.Hash() || parsed.Hash() == b.Hash() {
		t.Errorf("%q was not read back", wire)
	}
	last := wire[len(wire)-1]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	sameBytes := alphabet[strings.IndexByte(alphabet, last)+1] // the two spare bits
	for name, presented := range map[string]string{
		"nothing": "", "prefix only": "kpr_", "another prefix": "kcs_" + wire[4:], "no prefix": wire[4:], "shorter": wire[:len(wire)-1],
		"longer": wire + "A", "padded": wire + "=", "line break": wire[:10] + "\n" + wire[10:], "line break at the end": wire + "\n",
		"spare bits": wire[:len(wire)-1] + string(sameBytes), "space": wire + " ", "other alphabet": "kpr_" + strings.Repeat("+", 43),
	} {
		if _, ok := token.ParseResetToken(presented); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestResetToken_RedactsItself(t *testing.T) {
	t.Parallel()
	r := token.NewResetToken()
	asJSON, err := json.Marshal(map[string]any{"r": r})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "r", r)
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", r, r, r, r, r, r, r) + string(asJSON) + logged.String()
	if secret := strings.TrimPrefix(r.Reveal(), "kpr_"); strings.Contains(printed, secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) {
		t.Errorf("printed in clear: %s", printed)
	}
}

// What is accepted is the one spelling of its bytes: another text is another token, or none.
func FuzzParseResetToken(f *testing.F) {
	f.Add("")
	f.Add(token.NewResetToken().Reveal())
	f.Add("kpr_" + strings.Repeat("A", 42) + "B")
	f.Add("kpr_\n" + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, presented string) {
		parsed, ok := token.ParseResetToken(presented)
		if !ok {
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(presented, "kpr_"))
		if err != nil || len(raw) != 32 || "kpr_"+base64.RawURLEncoding.EncodeToString(raw) != presented || parsed.Reveal() != presented {
			t.Errorf("accepted %q", presented)
		}
	})
}
