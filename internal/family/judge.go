package family

import (
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Verdict is what a presented refresh token amounts to.
type Verdict int

const (
	// VerdictWrongClient: the family was begun by another client (RFC 6749 §6). Untouched.
	VerdictWrongClient Verdict = iota + 1
	// VerdictUserGone: the user was deleted or is disabled. Untouched.
	VerdictUserGone
	// VerdictRevoked: the family ended before. Untouched.
	VerdictRevoked
	// VerdictExpired: the absolute expiry has passed. Untouched.
	VerdictExpired
	// VerdictIdle: it went unused for too long. Untouched.
	VerdictIdle
	// VerdictRotate: the current token. It gets a child, which becomes current.
	VerdictRotate
	// VerdictReplay: the parent of the current token, inside the reuse interval. The same child is
	// given once more; no lifetime is extended.
	VerdictReplay
	// VerdictReuse: a token of the chain that was already used. Somebody holds a copy: the family
	// is to be revoked (RFC 9700 §4.14.2).
	VerdictReuse
	// VerdictPacedTheft: a replay that another party makes for the third generation in a row, where the
	// policy takes that for reuse.
	VerdictPacedTheft
	// VerdictTokenLost: once minted here, but no such token stands. A restore or a failover lost
	// it, or the MAC key leaked. Untouched: whoever forges a MAC must not be able to end a family.
	VerdictTokenLost
)

var verdictNames = map[Verdict]string{
	VerdictWrongClient: "wrong_client", VerdictUserGone: "user_gone", VerdictRevoked: "revoked",
	VerdictExpired: "expired", VerdictIdle: "idle", VerdictRotate: "rotate",
	VerdictReplay: "replay", VerdictReuse: "reuse", VerdictPacedTheft: "paced_theft", VerdictTokenLost: "token_lost",
}

// String names the verdict as logs have it.
func (v Verdict) String() string {
	if name, ok := verdictNames[v]; ok {
		return name
	}
	return "unknown"
}

// Presented is a refresh token whose MAC is right, with what the database knows of it.
type Presented struct {
	TokenID  uuid.UUID
	Hash     [32]byte
	ClientID string        // who presents it
	Row      *RefreshToken // the row of that id in this family; nil where none stands

	UserAgent string
	Address   netip.Addr
}

// Clock is one reading of the database's time, for one decision.
type Clock struct {
	Now time.Time
	// SteadySince is the latest of PostgreSQL's start and this replica's last recovery from
	// database trouble, zero if neither is known. A COMMIT whose answer was lost in an outage must
	// not look like theft once the outage is over, so the reuse interval starts here at the earliest.
	SteadySince time.Time
}

// Policy holds what an operator may set about refreshing.
type Policy struct {
	ReuseInterval    time.Duration // 0 turns replay off
	RevokePacedTheft bool
}

// Judge decides what a presented token means for its family, in the order of the rules: the first
// that applies wins. userEnabled is false for a disabled and for a deleted user. It neither reads
// nor writes anything; f and p.Row must have been read under the family's lock, and clock after it.
func (pol Policy) Judge(f Family, userEnabled bool, p Presented, clock Clock) Verdict {
	switch {
	case p.ClientID != f.ClientID:
		return VerdictWrongClient
	case !userEnabled:
		return VerdictUserGone
	case f.RevokedAt != nil:
		return VerdictRevoked
	case !clock.Now.Before(f.ExpiresAt):
		return VerdictExpired
	case !clock.Now.Before(f.IdleExpiresAt):
		return VerdictIdle
	case p.TokenID == f.CurrentTokenID && p.Hash == f.CurrentHash:
		return VerdictRotate
	case p.Row == nil || p.Row.Hash != p.Hash || p.TokenID == f.CurrentTokenID:
		return VerdictTokenLost
	case f.PreviousTokenID != nil && p.TokenID == *f.PreviousTokenID && pol.replayable(f, clock):
		return pol.judgeReplay(f, p)
	default:
		return VerdictReuse
	}
}

func (pol Policy) replayable(f Family, clock Clock) bool {
	start := f.RotatedAt
	if clock.SteadySince.After(start) {
		start = clock.SteadySince
	}
	return clock.Now.Before(start.Add(pol.ReuseInterval))
}

func (pol Policy) judgeReplay(f Family, p Presented) Verdict {
	count, foreign := f.CountReplay(p.UserAgent, p.Address)
	if pol.RevokePacedTheft && foreign && count.InARow >= PacedTheft {
		return VerdictPacedTheft
	}
	return VerdictReplay
}
