package family_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/family"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const interval = 10 * time.Second

// chain is a family in generation 2, rotated three seconds ago, with the rows of its tokens.
type chain struct {
	family  family.Family
	tokens  []family.RefreshToken // by generation
	enabled bool
	client  string
	clock   family.Clock
	policy  family.Policy
}

func newChain() *chain {
	c := &chain{
		enabled: true, client: family.DefaultClient,
		clock: family.Clock{Now: now}, policy: family.Policy{ReuseInterval: interval},
	}
	familyID := uuid.New()
	var parent *uuid.UUID
	for generation := range 3 {
		token := family.RefreshToken{
			ID: uuid.New(), FamilyID: familyID, ParentID: parent, Generation: int64(generation),
			Hash: [32]byte{byte(generation + 1)},
		}
		c.tokens = append(c.tokens, token)
		parent = &token.ID
	}
	c.family = family.Family{
		ID: familyID, UserID: uuid.New(), ClientID: family.DefaultClient,
		ExpiresAt: now.Add(time.Hour), IdleExpiresAt: now.Add(time.Minute), RotatedAt: now.Add(-3 * time.Second),
		CurrentTokenID: c.tokens[2].ID, CurrentHash: c.tokens[2].Hash, PreviousTokenID: &c.tokens[1].ID, Generation: 2,
	}
	return c
}

func (c *chain) judge(generation int) family.Verdict {
	token := c.tokens[generation]
	return c.present(family.Presented{TokenID: token.ID, Hash: token.Hash, ClientID: c.client, Row: &token})
}

func (c *chain) present(p family.Presented) family.Verdict {
	return c.policy.Judge(c.family, c.enabled, p, c.clock)
}

func TestJudge_EachGenerationOfALiveFamily(t *testing.T) {
	t.Parallel()
	for generation, want := range []family.Verdict{family.VerdictReuse, family.VerdictReplay, family.VerdictRotate} {
		if got := newChain().judge(generation); got != want {
			t.Errorf("generation %d: %v, want %v", generation, got, want)
		}
	}
}

func TestJudge_ReuseIntervalEndsOnTheInstant(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name        string
		rotatedAgo  time.Duration
		steadyAgo   time.Duration // 0: not known
		interval    time.Duration
		wantVerdict family.Verdict
	}{
		{"last instant inside", interval - 1, 0, interval, family.VerdictReplay},
		{"first instant outside", interval, 0, interval, family.VerdictReuse},
		{"steady again a moment ago", time.Hour, time.Second, interval, family.VerdictReplay},
		{"steady again, and the interval over", time.Hour, interval, interval, family.VerdictReuse},
		{"steadiness of long ago shortens nothing", time.Second, time.Hour, interval, family.VerdictReplay},
		{"interval of zero", 0, 0, 0, family.VerdictReuse},
		{"interval of zero after an outage", time.Hour, 0, 0, family.VerdictReuse},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			chain := newChain()
			chain.policy.ReuseInterval = c.interval
			chain.family.RotatedAt = now.Add(-c.rotatedAgo)
			if c.steadyAgo > 0 {
				chain.clock.SteadySince = now.Add(-c.steadyAgo)
			}
			if got := chain.judge(1); got != c.wantVerdict {
				t.Errorf("got %v, want %v", got, c.wantVerdict)
			}
		})
	}
}

func TestJudge_LostTokensLeaveTheFamilyAlone(t *testing.T) {
	t.Parallel()
	c := newChain()
	strange := [32]byte{0xff}
	cases := map[string]family.Presented{
		"no such row":                    {TokenID: uuid.New(), Hash: strange, ClientID: c.client},
		"the parent with another hash":   {TokenID: c.tokens[1].ID, Hash: strange, ClientID: c.client, Row: &c.tokens[1]},
		"an ancestor with another hash":  {TokenID: c.tokens[0].ID, Hash: strange, ClientID: c.client, Row: &c.tokens[0]},
		"the current with another hash":  {TokenID: c.tokens[2].ID, Hash: strange, ClientID: c.client, Row: &c.tokens[2]},
		"current, row and family differ": {TokenID: c.tokens[2].ID, Hash: strange, ClientID: c.client, Row: &family.RefreshToken{ID: c.tokens[2].ID, Hash: strange}},
	}
	for name, presented := range cases {
		if got := c.present(presented); got != family.VerdictTokenLost {
			t.Errorf("%s: %v, want %v", name, got, family.VerdictTokenLost)
		}
	}
}

// Each rule is broken alone, then together with all that come after it: the earlier one must win.
func TestJudge_RulesApplyInTheirOrder(t *testing.T) {
	t.Parallel()
	rules := []struct {
		breakIt func(*chain)
		want    family.Verdict
	}{
		{func(c *chain) { c.client = "another" }, family.VerdictWrongClient},
		{func(c *chain) { c.enabled = false }, family.VerdictUserGone},
		{func(c *chain) { at := now.Add(-time.Second); c.family.RevokedAt = &at }, family.VerdictRevoked},
		{func(c *chain) { c.family.ExpiresAt = now }, family.VerdictExpired},
		{func(c *chain) { c.family.IdleExpiresAt = now }, family.VerdictIdle},
	}
	for first := range rules {
		for generation := range 3 {
			alone, together := newChain(), newChain()
			rules[first].breakIt(alone)
			for _, rule := range rules[first:] {
				rule.breakIt(together)
			}
			if got := alone.judge(generation); got != rules[first].want {
				t.Errorf("rule %d alone, generation %d: %v, want %v", first, generation, got, rules[first].want)
			}
			if got := together.judge(generation); got != rules[first].want {
				t.Errorf("rule %d and all later ones, generation %d: %v, want %v", first, generation, got, rules[first].want)
			}
		}
	}
}

func TestJudge_ExpiryIsExclusive(t *testing.T) {
	t.Parallel()
	c := newChain()
	c.family.ExpiresAt, c.family.IdleExpiresAt = now.Add(1), now.Add(1)
	if got := c.judge(2); got != family.VerdictRotate {
		t.Errorf("a nanosecond before expiry: %v, want %v", got, family.VerdictRotate)
	}
}

func TestVerdict_EachHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for v := family.VerdictWrongClient; v <= family.VerdictTokenLost; v++ {
		if name := v.String(); name == "unknown" || seen[name] {
			t.Errorf("verdict %d has the name %q", v, name)
		}
		seen[v.String()] = true
	}
	if family.Verdict(0).String() != "unknown" {
		t.Error("the zero verdict has a name")
	}
}
