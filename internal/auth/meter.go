package auth

import (
	"kindred/internal/audit"
	"kindred/internal/family"
)

// Outcome is what became of a refresh that was judged. One that failed for want of the database has none.
type Outcome int

const (
	Rotated       Outcome = iota // the next token was given
	Replayed                     // the same one once more, inside the reuse interval
	Reused                       // the family ended
	PacedTheft                   // the same, for two parties that refreshed in turns
	Expired                      // past the absolute expiry
	Idle                         // unused for too long
	Revoked                      // the family had ended before
	WrongClient                  // of another client's family
	UserGone                     // the user is disabled or deleted
	TokenLost                    // our MAC, but no such token stands
	UnknownFamily                // our MAC, but no such family stands
	Foreign                      // not ours
)

// Outcomes lists all of them, each at its own number.
func Outcomes() []Outcome {
	list := make([]Outcome, Foreign+1)
	for i := range list {
		list[i] = Outcome(i)
	}
	return list
}

// String names the outcome as figures have it.
func (o Outcome) String() string {
	return [...]string{
		"rotated", "replayed", "reused", "paced_theft", "expired", "idle", "revoked", "wrong_client", "user_gone",
		"token_lost", "unknown_family", "foreign",
	}[o]
}

// Meter counts what the use cases come to, once it stands. Requests wait for it: it must not block.
type Meter interface {
	Refreshed(o Outcome)
	// Recorded is told of each event of the audit trail.
	Recorded(kind audit.Kind, reason string)
}

// unmetered is the Meter of who counts nothing.
type unmetered struct{}

func (unmetered) Refreshed(Outcome)           {}
func (unmetered) Recorded(audit.Kind, string) {}

// outcomeOf translates a verdict.
func outcomeOf(v family.Verdict) Outcome {
	switch v {
	case family.VerdictRotate:
		return Rotated
	case family.VerdictReplay:
		return Replayed
	case family.VerdictReuse:
		return Reused
	case family.VerdictPacedTheft:
		return PacedTheft
	case family.VerdictExpired:
		return Expired
	case family.VerdictIdle:
		return Idle
	case family.VerdictRevoked:
		return Revoked
	case family.VerdictWrongClient:
		return WrongClient
	case family.VerdictUserGone:
		return UserGone
	case family.VerdictTokenLost:
		return TokenLost
	}
	return UnknownFamily
}
