package family_test

import (
	"net/netip"
	"testing"

	"kindred/internal/family"
)

func TestCountReplay_WantsAnotherUserAgentAndAnotherNetwork(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name                 string
		rotatedBy, rotatedAt string // user agent and address
		userAgent, address   string
		want                 bool
	}{
		{"both differ", "a", "192.0.2.1", "b", "198.51.100.1", true},
		{"both differ, IPv6", "a", "2001:db8:1::1", "b", "2001:db8:2::1", true},
		{"the next /24", "a", "192.0.2.255", "b", "192.0.3.0", true},
		{"the same /24", "a", "192.0.2.0", "b", "192.0.2.255", false},
		{"the same /48", "a", "2001:db8:1:1::1", "b", "2001:db8:1:ffff::1", false},
		{"the same address", "a", "192.0.2.1", "b", "192.0.2.1", false},
		{"the same user agent", "a", "192.0.2.1", "a", "198.51.100.1", false},
		{"two families of addresses", "a", "192.0.2.1", "b", "2001:db8::1", false},
		{"the other way round", "a", "2001:db8::1", "b", "192.0.2.1", false},
		{"one IPv4 address written as IPv6", "a", "192.0.2.1", "b", "::ffff:192.0.2.1", false},
		{"two IPv4 addresses written as IPv6", "a", "::ffff:192.0.2.1", "b", "::ffff:198.51.100.1", true},
		{"unknown address", "a", "192.0.2.1", "b", "", false},
		{"rotated from an unknown address", "a", "", "b", "192.0.2.1", false},
		{"both addresses unknown", "a", "", "b", "", false},
		{"no user agent", "a", "192.0.2.1", "", "198.51.100.1", false},
		{"rotated without a user agent", "", "192.0.2.1", "b", "198.51.100.1", false},
	}
	for _, c := range cases {
		f := family.Family{
			Generation: 5, LastUserAgent: c.rotatedBy, LastAddress: address(c.rotatedAt),
			ForeignReplays: family.ForeignReplays{InARow: 1, Latest: 4},
		}
		count, foreign := f.CountReplay(c.userAgent, address(c.address))
		if foreign != c.want || c.want != (count != f.ForeignReplays) {
			t.Errorf("%s: foreign is %v, counted %+v", c.name, foreign, count)
		}
	}
}

// address is the zero Addr for "".
func address(text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(text)
}

func TestCountReplay_CountsGenerationsInARow(t *testing.T) {
	t.Parallel()
	f := family.Family{LastUserAgent: "a", LastAddress: address("192.0.2.1")}
	for _, step := range []struct {
		generation int64
		want       int
	}{{1, 1}, {1, 1}, {2, 2}, {2, 2}, {4, 1}, {5, 2}, {6, 3}, {7, 4}, {7, 4}, {9, 1}} {
		f.Generation = step.generation
		f.ForeignReplays, _ = f.CountReplay("b", address("198.51.100.1"))
		if want := (family.ForeignReplays{InARow: step.want, Latest: step.generation}); f.ForeignReplays != want {
			t.Errorf("a foreign replay of generation %d: %+v, want %+v", step.generation, f.ForeignReplays, want)
		}
	}
}

func TestJudge_PacedTheft(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		revoke    bool
		inARow    int
		userAgent string
		want      family.Verdict
	}{
		{"the third", true, 2, "b", family.VerdictPacedTheft},
		{"the second", true, 1, "b", family.VerdictReplay},
		{"more than the third, since it was only audited before", true, 7, "b", family.VerdictPacedTheft},
		{"the third, audited", false, 2, "b", family.VerdictReplay},
		{"the party that rotated, after many", true, 7, "a", family.VerdictReplay},
	}
	for _, c := range cases {
		chain := newChain()
		chain.policy.RevokePacedTheft = c.revoke
		chain.family.LastUserAgent, chain.family.LastAddress = "a", address("192.0.2.1")
		chain.family.ForeignReplays = family.ForeignReplays{InARow: c.inARow, Latest: chain.family.Generation - 1}
		parent := chain.tokens[1]
		got := chain.present(family.Presented{
			TokenID: parent.ID, Hash: parent.Hash, ClientID: chain.client, Row: &parent,
			UserAgent: c.userAgent, Address: address("198.51.100.1"),
		})
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
