package family

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
)

// assess says what a lineage amounts to, in words.
func (l Lineage) assess() Assessment {
	if l.Copy != nil {
		finding := l.Copy.judge(l.Generations)
		return Assessment{finding, l.Copy.summary(finding) + l.sequel(), l.Copy.evidence(finding, l.Generations)}
	}
	a := Assessment{Finding: FindingNone, Summary: l.end()}
	replays := 0
	for _, incident := range l.Incidents {
		if incident.Replayed != nil {
			replays += incident.Count
		}
		if incident.TokenLost {
			a.Evidence = append(a.Evidence, fmt.Sprintf("%s: %s presented a token with our MAC that the database does not have.", moment(incident.At), incident.By))
			if l.State != StateRevoked {
				a.Finding = FindingTokenLost
			}
		}
	}
	if a.Finding == FindingTokenLost {
		a.Summary = "A token that was once handed out is not in the database, and whoever presented it was refused: a restore or a fail-over lost it, " +
			"or JWT_REFRESH_SECRET leaked. The session itself was left as it is. " + a.Summary
	}
	if replays > 0 {
		a.Evidence = append(a.Evidence, "Tokens were presented again inside the reuse interval, "+times(replays, "time", "times")+": two tabs, or an answer that was lost. That ends nothing.")
	}
	return a
}

// sequel tells what became of a family in which a copy was found, unless that is what ended it.
func (l Lineage) sequel() string {
	switch l.Family.RevokedReason {
	case ReasonReuseDetected, ReasonPacedTheft:
		return ""
	default:
		return " " + l.end()
	}
}

// end tells why a family ended, or that it lives.
func (l Lineage) end() string {
	f := l.Family
	switch l.State {
	case StateLive:
		return "The session is live: nothing has ended it."
	case StateIdle:
		return fmt.Sprintf("The session went unused for %s: its refresh token expired %s.", InWords(f.IdleExpiresAt.Sub(f.RotatedAt)), moment(f.IdleExpiresAt))
	case StateExpired:
		return fmt.Sprintf("The session reached the longest that one may last, %s, %s.", InWords(f.ExpiresAt.Sub(f.CreatedAt)), moment(f.ExpiresAt))
	case StatePurged:
		if f.RevokedReason == "" {
			return "The session was purged, and no record tells how it ended."
		}
	}
	by := ActorInWords(f.RevokedBy, f.UserID)
	switch f.RevokedReason {
	case ReasonLogout:
		return "The user logged out."
	case ReasonSessionEnded:
		return "The user ended it in the list of sessions."
	case ReasonSessionLimit:
		return "The user had too many sessions: this was the oldest, and a newer login took its place."
	case ReasonUserDisabled:
		return "The user was disabled by " + by + ", which ends all sessions."
	case ReasonUserDeleted:
		return "The user was deleted by " + by + ", which ends all sessions."
	case ReasonPassword:
		return "The password was changed by " + by + ", which ends the other sessions."
	case ReasonPasswordReset:
		return "The password was reset, which ends all sessions."
	case ReasonAdmin:
		return "It was ended by " + by + "."
	case ReasonClientDisabled:
		return fmt.Sprintf("The client %s was disabled by %s, which ends its sessions.", f.ClientID, by)
	case ReasonTokenRevoked:
		return "Its client asked for the end of its token (RFC 7009)."
	case ReasonRestoreGuard:
		return "The database was restored from a backup, and " + by + " ended all sessions (restore-guard)."
	case ReasonTokenLimit:
		return "Its client revoked more of its access tokens, one by one, than are listed."
	default:
		return fmt.Sprintf("It was revoked by %s, for %s.", by, f.RevokedReason)
	}
}

// summary tells what happened, what that is most likely, and what to do.
func (c Copy) summary(finding Finding) string {
	presented := fmt.Sprintf("Generation %d was presented again after it had been replaced", c.Presented)
	switch finding {
	case FindingTwoTabs:
		advice := "A longer REFRESH_REUSE_INTERVAL lets such requests pass."
		if c.Current > c.Presented+1 {
			advice = "Only the last token that was replaced is given its successor once more: let the client refresh one at a time."
		}
		return presented + ", and only a moment after: two tabs or two requests of one client refreshed at about the same time. " +
			"Nothing points to a thief. " + advice
	case FindingLostResponse:
		return presented + fmt.Sprintf(", and generation %d, its successor, was never used: the client never received the answer, or did not store it. ", c.Current) +
			"Nothing points to a thief. The user logs in again, and that is all."
	case FindingStaleClient:
		return presented + ", by a client that had got newer ones since: an old copy of its storage came back to life, " +
			"as after a restored backup or in a tab that was suspended. Nothing points to a thief."
	case FindingUncertain:
		if c.Current > c.Presented+1 {
			return presented + ". Too little is known of who presented it: it may be an old copy of the client's own storage, or another party with a copy. " +
				"Ask the user where they were."
		}
		return presented + ". It may be one device that changed its network and lost an answer, or another party with a copy. " +
			"Nothing here decides it: ask the user where they were."
	}
	if c.Paced {
		return "Two parties refresh this session by turns, each a moment after the other, generation after generation: one of them has a copy. " +
			"Nobody can tell from here which of them is the owner. A server that renders pages beside the browser looks the same, if it shows a user agent and a network of its own."
	}
	return presented + fmt.Sprintf(", by another party than the one that held generation %d. Two parties have tokens of this session, so one of them has a copy of the other's. ", c.Current) +
		"Nobody can tell from here which of them is the owner: ask the user which of the two they know, and let them change the password if a device may be in other hands."
}

// evidence is what the finding rests on.
func (c Copy) evidence(finding Finding, chain []Generation) []string {
	list := []string{fmt.Sprintf("%s: generation %d was presented by %s.", moment(c.At), c.Presented, c.PresentedBy)}
	if c.IssuedTo != (Party{}) {
		list = append(list, fmt.Sprintf("It had been issued %s before, to %s.", InWords(c.At.Sub(c.IssuedAt)), c.IssuedTo))
	}
	if !c.ReplacedAt.IsZero() {
		list = append(list, fmt.Sprintf("It had been replaced %s before, by %s.", InWords(c.At.Sub(c.ReplacedAt)), c.ReplacedBy))
	}
	list = append(list, fmt.Sprintf("Generation %d, %s further, had been current for %s, and was held by %s.",
		c.Current, times(int(c.Current-c.Presented), "step", "steps"), InWords(c.At.Sub(c.CurrentSince)), c.Holder))
	list = append(list, "Of the presenter and the holder "+c.PresentedBy.differences(c.Holder)+".")
	if len(chain) > 0 {
		list = append(list, c.histories(chain)...)
	}
	if finding == FindingTwoTabs && replayed(chain) {
		list = append(list, "The client used to refresh from several places at once: tokens were presented again inside the reuse interval.")
	}
	return list
}

// histories tell which tokens each of the two had got.
func (c Copy) histories(chain []Generation) []string {
	presenter, holder := got(c.PresentedBy, chain), got(c.Holder, chain)
	if c.PresentedBy.isSame(c.Holder) {
		return []string{"Both are one party, which had got " + generations(presenter) + "."}
	}
	list := []string{"The presenter had got " + generations(presenter) + ".", "The holder had got " + generations(holder) + "."}
	if len(presenter) > 0 && len(holder) > 0 && presenter[len(presenter)-1] == c.Presented && holder[0] == c.Presented+1 {
		list = append(list, fmt.Sprintf("The session changed hands there: up to generation %d the one had it, from generation %d on the other.", c.Presented, holder[0]))
	}
	return list
}

// got lists the generations that a party had got; none where too little is known of it.
func got(p Party, chain []Generation) (numbers []int64) {
	for _, g := range chain {
		if g.IssuedTo.isSame(p) {
			numbers = append(numbers, g.Number)
		}
	}
	return numbers
}

func generations(numbers []int64) string {
	switch len(numbers) {
	case 0:
		return "no token of the chain, as far as that was read and parties are known"
	case 1:
		return fmt.Sprintf("one token, generation %d", numbers[0])
	default:
		return fmt.Sprintf("%d tokens, from generation %d to %d", len(numbers), numbers[0], numbers[len(numbers)-1])
	}
}

// differences says in what two parties differ.
func (p Party) differences(q Party) string {
	agents, networks := "the user agent is the same", "the network is the same"
	switch {
	case p.UserAgent == "" || q.UserAgent == "":
		agents = "of the user agents nothing can be told"
	case p.UserAgent != q.UserAgent:
		agents = "the user agents differ"
	}
	here, there := Network(p.Address), Network(q.Address)
	switch {
	case !here.IsValid() || !there.IsValid() || here.Bits() != there.Bits():
		networks = "of the networks nothing can be told"
	case here != there:
		networks = fmt.Sprintf("the networks differ (%s, %s)", here, there)
	}
	return agents + ", and " + networks
}

// String names a party by what is known of it.
func (p Party) String() string { return p.Agent() + " at " + addressInWords(p.Address) }

func addressInWords(a netip.Addr) string {
	if !a.IsValid() {
		return "an unknown address"
	}
	return a.String()
}

// ActorInWords names an actor of the audit trail; user is the one whose family it is about.
func ActorInWords(actor string, user uuid.UUID) string {
	id, isUser := strings.CutPrefix(actor, "user:")
	switch {
	case isUser && id == user.String():
		return "the user"
	case isUser:
		return "the admin " + id
	case actor == "cli":
		return "an operator on the command line"
	case actor == "kindred":
		return "Kindred's own rules"
	case actor == "":
		return "somebody unknown"
	}
	if id, isClient := strings.CutPrefix(actor, "client:"); isClient {
		return "the client " + id
	}
	return actor
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// InWords is a length of time in its two largest units.
func InWords(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(d, 0).Milliseconds())
	}
	const day = 24 * time.Hour
	var parts []string
	for _, unit := range []struct {
		length   time.Duration
		one, all string
	}{{day, "day", "days"}, {time.Hour, "hour", "hours"}, {time.Minute, "minute", "minutes"}, {time.Second, "second", "seconds"}} {
		count := int(d / unit.length)
		d %= unit.length
		switch {
		case count > 0:
			parts = append(parts, times(count, unit.one, unit.all))
		case len(parts) > 0: // 1 day 5 seconds would feign to be exact
			return parts[0]
		}
		if len(parts) == 2 {
			break
		}
	}
	return strings.Join(parts, " ")
}

func times(n int, one, all string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, all)
}
