package family

import "time"

// Finding is what the traces of a family amount to.
type Finding string

const (
	FindingNone         Finding = "no_copy" // nothing tells of a second holder
	FindingTwoTabs      Finding = "two_tabs"
	FindingLostResponse Finding = "lost_response"
	FindingStaleClient  Finding = "stale_client"
	FindingLikelyTheft  Finding = "likely_theft"
	FindingUncertain    Finding = "uncertain"
	FindingTokenLost    Finding = "token_lost" // a token of ours was presented that the database does not have
)

// Assessment is a finding with its reasons, in words for operators. They are made of times, distances and
// parties alone, so that they stay the same whenever one asks.
type Assessment struct {
	Finding  Finding
	Summary  string   // what happened, and what to do about it
	Evidence []string // each a sentence of its own
}

// shortly is what two requests of one client may lie apart and still be called simultaneous: the longest
// reuse interval that can be set.
const shortly = time.Minute

// judge weighs who presented the copy against who held the family. What speaks for theft goes first; what
// speaks for an honest client must be in the chain, since a user agent alone is easily copied.
func (c Copy) judge(chain []Generation) Finding {
	distance := c.Current - c.Presented
	honest := c.PresentedBy.isSame(c.Holder) || wentOn(c, chain)
	switch {
	case c.Paced, c.PresentedBy.IsForeign(c.Holder):
		return FindingLikelyTheft
	case honest && c.soon() && (distance > 1 || replayed(chain)):
		return FindingTwoTabs
	case honest && distance == 1:
		return FindingLostResponse
	case honest:
		return FindingStaleClient
	case distance == 1, !c.PresentedBy.differs(c.Holder):
		// A device that changed its network and lost the answer looks like a thief who knows the user agent.
		return FindingUncertain
	default:
		return FindingLikelyTheft
	}
}

// wentOn tells whether who presented the copy had got a newer token: it then holds the session itself,
// and the old token as well.
func wentOn(c Copy, chain []Generation) bool {
	for _, g := range chain {
		if g.Number > c.Presented && g.IssuedTo.isSame(c.PresentedBy) {
			return true
		}
	}
	return false
}

// replayed tells whether the client used to refresh from several places at once.
func replayed(chain []Generation) bool {
	for _, g := range chain {
		if g.Replays > 0 {
			return true
		}
	}
	return false
}

func (c Copy) soon() bool {
	return !c.ReplacedAt.IsZero() && c.At.Sub(c.ReplacedAt) < shortly
}
