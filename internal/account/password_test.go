package account_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"kindred/internal/account"
)

func TestParsePassword_Bounds(t *testing.T) {
	t.Parallel()
	for length, ok := range map[int]bool{0: false, 1: true, 1024: true, 1025: false} {
		_, err := account.ParsePassword(strings.Repeat("x", length))
		if (err == nil) != ok {
			t.Errorf("%d bytes: error %v", length, err)
		}
	}
	if _, err := account.ParsePassword("password\xff"); err == nil {
		t.Error("bad UTF-8 accepted: it would be hashed as the replacement character")
	}
}

func TestParsePassword_ComposedAndDecomposedAreTheSame(t *testing.T) {
	t.Parallel()
	a, errA := account.ParsePassword("pa\u00dfwor\u00e9d1")
	b, errB := account.ParsePassword("pa\u00dfwore\u0301d1")
	if errA != nil || errB != nil || a.Reveal() != b.Reveal() || b.Typed() == a.Typed() {
		t.Errorf("revealed %q and %q (%v, %v)", a.Reveal(), b.Reveal(), errA, errB)
	}
}

func TestPassword_RedactsItself(t *testing.T) {
	t.Parallel()
	p, err := account.ParsePassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[string]any{"p": p})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", p, p, p, p, p, p, p, p.LogValue()) + string(asJSON)
	if strings.Contains(printed, "horse") || strings.Contains(printed, fmt.Sprintf("%x", "horse")) {
		t.Errorf("printed in clear: %s", printed)
	}
}
