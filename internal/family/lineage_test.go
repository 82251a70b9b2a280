package family_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/family"
)

var (
	home      = family.Party{UserAgent: "phone/1", Address: netip.MustParseAddr("192.0.2.1")}
	neighbour = family.Party{UserAgent: "phone/1", Address: netip.MustParseAddr("192.0.2.200")} // the same network
	onTheWay  = family.Party{UserAgent: "phone/1", Address: netip.MustParseAddr("203.0.113.5")}
	updated   = family.Party{UserAgent: "phone/2", Address: home.Address}
	stranger  = family.Party{UserAgent: "script", Address: netip.MustParseAddr("198.51.100.1")}
	overIPv6  = family.Party{UserAgent: "phone/1", Address: netip.MustParseAddr("2001:db8::1")}
	unknown   = family.Party{Address: home.Address}
)

// find is what a lineage amounts to in which chain's generations went to these parties, one an hour, and
// somebody presents a generation again.
func find(presented int64, by family.Party, later time.Duration, replays int, newest int, chain ...family.Party) family.Assessment {
	f := family.Family{ID: uuid.New(), UserID: uuid.New(), RevokedReason: family.ReasonReuseDetected, RevokedBy: "kindred"}
	var tokens []family.RefreshToken
	for i, p := range chain {
		f.RotatedAt, f.Generation, f.CurrentTokenID = now.Add(time.Duration(i)*time.Hour), int64(i), uuid.New()
		tokens = append(tokens, family.RefreshToken{ID: f.CurrentTokenID, Generation: f.Generation, IssuedAt: f.RotatedAt, UserAgent: p.UserAgent, Address: p.Address})
	}
	at := f.RotatedAt.Add(later)
	f.RevokedAt = &at
	var incidents []family.Incident
	if replays > 0 {
		incidents = append(incidents, family.Incident{Replayed: new(int64), Count: replays})
	}
	incidents = append(incidents, family.Incident{At: at, By: by, Copy: &family.Copy{
		At: at, Presented: presented, PresentedBy: by, IssuedAt: tokens[presented].IssuedAt,
		Current: f.Generation, CurrentSince: f.RotatedAt, Holder: chain[len(chain)-1],
	}})
	return family.Trace(f, tokens, incidents, at.Add(time.Hour), newest).Assessment
}

func TestTrace_FindsWhatAReuseAmountsTo(t *testing.T) {
	t.Parallel()
	four := []family.Party{home, home, home, home}
	cases := []struct {
		name      string
		presented int64
		by        family.Party
		later     time.Duration // after the last rotation
		replays   int
		chain     []family.Party
		want      family.Finding
	}{
		{"two steps behind, a moment after the last", 0, home, 20 * time.Second, 0, []family.Party{home, home, home}, family.FindingStaleClient},
		{"the parent, a moment later, by a client known for its tabs", 2, home, 20 * time.Second, 1, four, family.FindingTwoTabs},
		{"the same a minute later", 2, home, time.Minute, 1, four, family.FindingLostResponse},
		{"the parent, a moment later", 2, home, 20 * time.Second, 0, four, family.FindingLostResponse},
		{"the parent, days later", 2, home, 50 * time.Hour, 0, four, family.FindingLostResponse},
		{"from elsewhere in the network", 2, neighbour, time.Hour, 0, four, family.FindingLostResponse},
		{"an old one", 0, home, time.Hour, 1, four, family.FindingStaleClient},
		{"an old one by who has got newer ones, though another holds the session", 0, onTheWay, time.Hour, 0, []family.Party{home, onTheWay, home}, family.FindingStaleClient},
		{"another party", 1, stranger, time.Hour, 0, four, family.FindingLikelyTheft},
		{"another party, the parent", 2, stranger, time.Second, 0, four, family.FindingLikelyTheft},
		{"the owner, after another party took over", 1, home, time.Hour, 0, []family.Party{home, home, stranger, stranger}, family.FindingLikelyTheft},
		{"both have got tokens by turns", 0, stranger, time.Hour, 0, []family.Party{home, stranger, home}, family.FindingLikelyTheft},
		{"an old one with the user agent alone", 0, onTheWay, time.Hour, 0, four, family.FindingLikelyTheft},
		{"the owner, after somebody with the user agent took over", 1, home, time.Hour, 0, []family.Party{home, home, onTheWay, onTheWay}, family.FindingLikelyTheft},
		{"an old one in the network with another user agent", 0, updated, time.Hour, 0, four, family.FindingLikelyTheft},
		{"the parent from another network", 2, onTheWay, time.Minute, 0, four, family.FindingUncertain},
		{"the parent by another user agent of the network", 2, updated, time.Minute, 0, four, family.FindingUncertain},
		{"an old one over the other family of addresses", 0, overIPv6, time.Hour, 0, four, family.FindingUncertain},
		{"the same with another user agent", 0, family.Party{UserAgent: "script", Address: overIPv6.Address}, time.Hour, 0, four, family.FindingLikelyTheft},
		{"nobody knows who", 0, unknown, time.Hour, 0, four, family.FindingUncertain},
	}
	for _, c := range cases {
		for _, newest := range []int{1, 100} { // what is shown must not matter
			if got := find(c.presented, c.by, c.later, c.replays, newest, c.chain...); got.Finding != c.want {
				t.Errorf("%s: %s, want %s\n%s\n%s", c.name, got.Finding, c.want, got.Summary, strings.Join(got.Evidence, "\n"))
			}
		}
	}
}

// Several tabs that race may go on by two generations before the slowest comes.
func TestTrace_TabsThatRace(t *testing.T) {
	t.Parallel()
	f := family.Family{CurrentTokenID: uuid.New(), Generation: 3, RevokedAt: &now}
	var tokens []family.RefreshToken
	for i := range int64(4) {
		tokens = append(tokens, family.RefreshToken{Generation: i, IssuedAt: now.Add(time.Duration(i) * time.Second), UserAgent: home.UserAgent, Address: home.Address})
	}
	at := now.Add(4 * time.Second)
	reuse := family.Incident{At: at, By: home, Copy: &family.Copy{At: at, Presented: 1, PresentedBy: home, Current: 3, Holder: home}}
	l := family.Trace(f, tokens, []family.Incident{reuse}, at, 1)
	if l.Assessment.Finding != family.FindingTwoTabs {
		t.Errorf("%+v", l.Assessment)
	}
	if len(l.Generations) != 4 || l.Generations[1].ReplacedAt != tokens[2].IssuedAt || l.Folded != 0 {
		t.Errorf("the edge and the newest are %+v", l.Generations)
	}
	if l.Copy.ReplacedAt != tokens[2].IssuedAt || l.Copy.IssuedAt != tokens[1].IssuedAt {
		t.Errorf("the chain does not complete %+v", l.Copy)
	}
}

func TestTrace_TheftNamesBothAndAccusesNeither(t *testing.T) {
	t.Parallel()
	a := find(1, home, time.Hour, 0, 100, home, home, stranger, stranger)
	text := a.Summary + " " + strings.Join(a.Evidence, " ")
	for _, part := range []string{"phone/1 at 192.0.2.1", "script at 198.51.100.1", "Nobody can tell", "changed hands", "2 hours before", "192.0.2.0/24"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %s", part, text)
		}
	}
}

func TestTrace_FoldsToTheNewest(t *testing.T) {
	t.Parallel()
	f := family.Family{CurrentTokenID: uuid.New(), Generation: 9, IdleExpiresAt: now.Add(1)}
	var tokens []family.RefreshToken
	for i := range int64(10) {
		tokens = append(tokens, family.RefreshToken{Generation: i, IssuedAt: now})
	}
	for newest, want := range map[int]int{1: 1, 4: 4, 10: 10, 1 << 30: 10} {
		l := family.Trace(f, tokens, nil, now, newest)
		if len(l.Generations) != want || l.Folded != int64(10-want) || l.Generations[want-1].Number != 9 {
			t.Errorf("%d: %d generations, %d folded", newest, len(l.Generations), l.Folded)
		}
	}
}

func TestStateAt_TheFirstEndCounts(t *testing.T) {
	t.Parallel()
	revoked := now.Add(-time.Minute)
	cases := map[family.State]family.Family{
		family.StateLive:    {CurrentTokenID: uuid.New(), IdleExpiresAt: now.Add(1), ExpiresAt: now.Add(2)},
		family.StateIdle:    {CurrentTokenID: uuid.New(), IdleExpiresAt: now.Add(-2), ExpiresAt: now.Add(-1)},
		family.StateExpired: {CurrentTokenID: uuid.New(), IdleExpiresAt: now, ExpiresAt: now},
		family.StateRevoked: {CurrentTokenID: uuid.New(), IdleExpiresAt: now.Add(-2), ExpiresAt: now.Add(-1), RevokedAt: &revoked},
		family.StatePurged:  {},
	}
	for want, f := range cases {
		state, ended := f.StateAt(now)
		if state != want || ended.IsZero() != slices.Contains([]family.State{family.StateLive, family.StatePurged}, want) || ended.After(now) {
			t.Errorf("%s since %v, want %s", state, ended, want)
		}
	}
}

// A change of the password revokes whatever was not revoked yet: also what nobody could use any more.
func TestStateAt_RevokedAfterItHadExpired(t *testing.T) {
	t.Parallel()
	late := now.Add(-time.Minute)
	for want, f := range map[family.State]family.Family{
		family.StateIdle:    {CurrentTokenID: uuid.New(), IdleExpiresAt: now.Add(-time.Hour), ExpiresAt: now.Add(time.Hour), RevokedAt: &late},
		family.StateExpired: {CurrentTokenID: uuid.New(), IdleExpiresAt: late, ExpiresAt: late, RevokedAt: &late},
	} {
		if state, ended := f.StateAt(now); state != want || !ended.Equal(f.IdleExpiresAt) {
			t.Errorf("%s since %v, want %s", state, ended, want)
		}
	}
}

// Whatever a family ended for, it is said in words of its own and not by the name of the reason.
func TestTrace_EachReasonHasItsWords(t *testing.T) {
	t.Parallel()
	seen := map[string]family.Reason{}
	for _, reason := range []family.Reason{
		family.ReasonLogout, family.ReasonSessionEnded, family.ReasonSessionLimit, family.ReasonUserDisabled, family.ReasonUserDeleted,
		family.ReasonPassword, family.ReasonPasswordReset, family.ReasonAdmin, family.ReasonClientDisabled, family.ReasonTokenRevoked, family.ReasonTokenLimit,
		family.ReasonRestoreGuard,
	} {
		f := family.Family{CurrentTokenID: uuid.New(), IdleExpiresAt: now.Add(1), RevokedAt: &now, RevokedReason: reason, RevokedBy: "cli"}
		a := family.Trace(f, nil, nil, now, 1).Assessment
		if other, twice := seen[a.Summary]; twice || strings.Contains(a.Summary, string(reason)+".") || a.Finding != family.FindingNone {
			t.Errorf("%s: %q, as for %q", reason, a.Summary, other)
		}
		seen[a.Summary] = reason
	}
}

func TestInWords_TwoUnits(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0 ms": -time.Second, "999 ms": time.Second - 1, "1 second": time.Second, "59 seconds": time.Minute - 1,
		"1 minute 1 second": 61 * time.Second, "1 hour": time.Hour + 59*time.Second, "3 days 4 hours": 76*time.Hour + 5*time.Minute,
		"1 day": 24*time.Hour + 5*time.Minute, "400 days": 400 * 24 * time.Hour,
	} {
		if got := family.InWords(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestParty_AgentIsShort(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"":           "unknown user agent",
		"curl/8.5.0": "curl/8.5.0",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0": "Edge 142 on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":               "Chrome 142 on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15":         "Safari 18 on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile Safari/604": "Chrome 142 on iOS",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":                  "Chrome 142 on Android",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                        "Firefox 140 on Linux",
		"Mozilla/5.0 (compatible; something of its own that goes on)":                                                                   "Mozilla/5.0 (compatible; something of i…",
	} {
		if got := (family.Party{UserAgent: agent}).Agent(); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}
