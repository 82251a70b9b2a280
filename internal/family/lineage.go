package family

import (
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
)

// State is where a family stands.
type State string

const (
	StateLive    State = "live"
	StateRevoked State = "revoked"
	StateExpired State = "expired" // its absolute expiry passed
	StateIdle    State = "idle"    // it went unused for too long
	StatePurged  State = "purged"  // its row is gone; what is left is the audit trail
)

// StateAt tells where a family stands, and since when it has ended; the time is zero while it lives and
// where nobody can know it any more. The first end counts: a change of the password revokes also what had
// expired before, and logged nobody out there.
func (f Family) StateAt(now time.Time) (State, time.Time) {
	switch {
	case f.CurrentTokenID == uuid.Nil:
		return StatePurged, time.Time{}
	case f.RevokedAt != nil && f.RevokedAt.Before(f.IdleExpiresAt): // which is within the absolute expiry
		return StateRevoked, *f.RevokedAt
	case f.RevokedAt == nil && now.Before(f.IdleExpiresAt):
		return StateLive, time.Time{}
	case f.IdleExpiresAt.Before(f.ExpiresAt):
		return StateIdle, f.IdleExpiresAt
	default:
		return StateExpired, f.ExpiresAt
	}
}

// Party is who made a request, as far as can be told: both parts are the client's word or its network's,
// and either may be unknown.
type Party struct {
	UserAgent string
	Address   netip.Addr
}

// IsForeign wants both parts to differ, isSame both to be the same, differs one of them; of what is not
// known, and of addresses of two families, nothing can be told.
func (p Party) IsForeign(q Party) bool {
	return Family{LastUserAgent: q.UserAgent, LastAddress: q.Address}.isForeign(p.UserAgent, p.Address)
}

func (p Party) isSame(q Party) bool {
	return p.known() && p.UserAgent == q.UserAgent && Network(p.Address) == Network(q.Address)
}

func (p Party) differs(q Party) bool {
	here, there := Network(p.Address), Network(q.Address)
	return p.known() && q.known() && (p.UserAgent != q.UserAgent || here.Bits() == there.Bits() && here != there)
}

func (p Party) known() bool { return p.UserAgent != "" && p.Address.IsValid() }

// Generation is one token of a chain.
type Generation struct {
	Number     int64
	TokenID    uuid.UUID
	IssuedAt   time.Time
	ReplacedAt time.Time // zero: it is the current one, or its successor was not read
	IssuedTo   Party
	Replays    int // how often it was presented once more inside the reuse interval
}

// Incident is an entry of the audit trail about a family.
type Incident struct {
	At        time.Time
	Kind      string // as package audit names it
	Actor     string
	Reason    string
	RequestID string
	By        Party
	Replayed  *int64 // the generation that was presented once more inside the reuse interval
	Count     int    // how many replays it stands for
	TokenLost bool   // a token with our MAC was presented that the database does not have
	Copy      *Copy  // where one was found
}

// Copy is how it came out that somebody holds a copy: a token that had been replaced was presented again.
type Copy struct {
	At        time.Time
	RequestID string
	Paced     bool // inside the reuse interval, by another party in generation after generation

	Presented   int64
	PresentedBy Party
	IssuedAt    time.Time // of the presented token
	IssuedTo    Party
	ReplacedAt  time.Time // zero where that was not read
	ReplacedBy  Party     // who presented it the first time, and got its successor

	Current      int64 // at that moment
	CurrentSince time.Time
	Holder       Party // who had got the current one
}

// Lineage is a family as it is explained: its chain, what befell it, and what that amounts to.
type Lineage struct {
	Family      Family
	State       State
	EndedAt     time.Time    // zero as StateAt has it
	Generations []Generation // oldest first; none where they were purged
	Folded      int64        // how many there are beside
	Incidents   []Incident   // oldest first
	Copy        *Copy        // the last that was found; nil where none was
	Assessment  Assessment
}

// Trace joins what was read of a family in one snapshot, tokens and incidents oldest first. It judges by all
// of it, and then folds the chain to its newest generations and those around a copy.
func Trace(f Family, tokens []RefreshToken, incidents []Incident, now time.Time, newest int) Lineage {
	l := Lineage{Family: f, Incidents: incidents}
	l.State, l.EndedAt = f.StateAt(now)
	at := make(map[int64]int, len(tokens))
	for i, t := range tokens {
		at[t.Generation] = i
		l.Generations = append(l.Generations, Generation{
			Number: t.Generation, TokenID: t.ID, IssuedAt: t.IssuedAt, IssuedTo: Party{t.UserAgent, t.Address},
		})
		if i > 0 && tokens[i-1].Generation == t.Generation-1 {
			l.Generations[i-1].ReplacedAt = t.IssuedAt
		}
	}
	for _, incident := range incidents {
		if incident.Copy != nil {
			l.Copy = complete(*incident.Copy, tokens, at)
		} else if incident.Replayed != nil {
			if i, read := at[*incident.Replayed]; read {
				l.Generations[i].Replays += incident.Count
			}
		}
	}
	l.Assessment = l.assess()
	l.fold(newest)
	return l
}

func (l *Lineage) fold(newest int) {
	l.Generations = slices.DeleteFunc(l.Generations, func(g Generation) bool {
		atTheEdge := l.Copy != nil && g.Number >= l.Copy.Presented-1 && g.Number <= l.Copy.Presented+1
		return !atTheEdge && g.Number <= l.Family.Generation-int64(newest)
	})
	if l.State != StatePurged {
		l.Folded = l.Family.Generation + 1 - int64(len(l.Generations))
	}
}

// complete adds what only the chain tells.
func complete(c Copy, tokens []RefreshToken, at map[int64]int) *Copy {
	if i, read := at[c.Presented]; read {
		c.IssuedAt, c.IssuedTo = tokens[i].IssuedAt, Party{tokens[i].UserAgent, tokens[i].Address}
	}
	if i, read := at[c.Presented+1]; read {
		c.ReplacedAt, c.ReplacedBy = tokens[i].IssuedAt, Party{tokens[i].UserAgent, tokens[i].Address}
	}
	return &c
}
