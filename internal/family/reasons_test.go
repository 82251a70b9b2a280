package family_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"kindred/internal/family"
)

func TestReasons_AreAllThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("family.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\tReason\w+ +Reason = "(\w+)"`).FindAllStringSubmatch(string(text), -1)
	for _, match := range declared {
		if !slices.Contains(family.Reasons(), family.Reason(match[1])) {
			t.Errorf("%s is not listed", match[1])
		}
	}
	if len(declared) < 10 || len(declared) != len(family.Reasons()) {
		t.Errorf("%d reasons are declared, %d listed", len(declared), len(family.Reasons()))
	}
}
