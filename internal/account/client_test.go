package account_test

import (
	"errors"
	"strings"
	"testing"

	"kindred/internal/account"
)

func TestParseClientID_CharactersThatAreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"shop": true, "Shop-1_a.b~c": true, strings.Repeat("x", 64): true, "https": true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a:b": false, "a+b": false, "a%20": false, "a/b": false,
		"é": false, "a\x00": false, "a\n": false, "a\xff": false,
	} {
		got, err := account.ParseClientID(id)
		if (err == nil) != ok || ok && got != id {
			t.Errorf("%q: %q, error %v", id, got, err)
		}
	}
}

func TestParseClientName_Refusals(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"The shop": true, "Zoe\u0308": true, strings.Repeat("\U0001f600", 100): true,
		"": false, strings.Repeat("x", 101): false, "a\nb": false, "a\x00b": false, "a\xff": false, "a\u200bb": false, "a\u202eb": false,
	} {
		_, err := account.ParseClientName(name)
		var invalid *account.InvalidError
		if (err == nil) != ok || !ok && !errors.As(err, &invalid) {
			t.Errorf("%q: error %v", name, err)
		}
	}
	if name, _ := account.ParseClientName("Zoe\u0308"); name != "Zo\u00eb" {
		t.Errorf("%q is not in NFC", name)
	}
}

func TestParseClientType(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"public": true, "confidential": true, "": false, "Public": false, "private": false} {
		if _, err := account.ParseClientType(name); (err == nil) != ok {
			t.Errorf("%q: error %v", name, err)
		}
	}
}
