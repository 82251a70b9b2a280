package auth

import (
	"testing"

	"kindred/internal/family"
)

// Each verdict is counted apart from the others, and each outcome has a name.
func TestOutcome_EachVerdictHasItsOwn(t *testing.T) {
	t.Parallel()
	of := map[Outcome]family.Verdict{}
	for v := family.VerdictWrongClient; v <= family.VerdictTokenLost; v++ {
		if other, twice := of[outcomeOf(v)]; twice {
			t.Errorf("%s is counted as %s is", v, other)
		}
		of[outcomeOf(v)] = v
	}
	names := map[string]bool{}
	for _, outcome := range Outcomes() {
		if _, judged := of[outcome]; judged == (outcome == UnknownFamily || outcome == Foreign) {
			t.Errorf("%s: of a verdict %v", outcome, judged)
		}
		names[outcome.String()] = true
	}
	if len(names) != len(of)+2 || names[""] {
		t.Errorf("names %v", names)
	}
}
