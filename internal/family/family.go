package family

import (
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// DefaultClient is the built-in public client, to which a login belongs that names no other.
const DefaultClient = "kindred"

// Reason tells why a family was revoked.
type Reason string

const (
	ReasonReuseDetected  Reason = "reuse_detected"
	ReasonLogout         Reason = "logout"
	ReasonSessionEnded   Reason = "session_ended"
	ReasonSessionLimit   Reason = "session_limit" // the oldest of too many
	ReasonUserDisabled   Reason = "user_disabled"
	ReasonUserDeleted    Reason = "user_deleted"
	ReasonPassword       Reason = "password_changed"
	ReasonPasswordReset  Reason = "password_reset"
	ReasonAdmin          Reason = "ended_by_admin"
	ReasonClientDisabled Reason = "client_disabled"
	ReasonTokenRevoked   Reason = "token_revoked" // its client asked for it (RFC 7009)
	ReasonTokenLimit     Reason = "token_limit"   // too many of its access tokens were revoked one by one
	ReasonPacedTheft     Reason = "paced_theft"
	ReasonRestoreGuard   Reason = "restore_guard" // the database was restored from a backup
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{
		ReasonReuseDetected, ReasonLogout, ReasonSessionEnded, ReasonSessionLimit, ReasonUserDisabled, ReasonUserDeleted,
		ReasonPassword, ReasonPasswordReset, ReasonAdmin, ReasonClientDisabled, ReasonTokenRevoked, ReasonTokenLimit, ReasonPacedTheft,
		ReasonRestoreGuard,
	}
}

// Family is the state of one login: a row of token_families. Times are the database's.
type Family struct {
	ID       uuid.UUID // the sid claim of its access tokens
	UserID   uuid.UUID
	ClientID string

	CreatedAt time.Time
	AuthTime  time.Time // when the user gave credentials (OpenID Connect Core §2, auth_time)
	ExpiresAt time.Time // absolute; never moves
	ExpiresOn time.Time // the UTC date of ExpiresAt: the partition of its tokens

	CurrentTokenID  uuid.UUID
	CurrentHash     [32]byte // SHA-256 of the current token
	PreviousTokenID *uuid.UUID
	Generation      int64 // 0 for the login's own token
	RotatedAt       time.Time
	IdleExpiresAt   time.Time
	AccessUntil     time.Time // no access token of the family outlives this
	SuccessorSeal   []byte    // the current token, sealed to its parent; nil in generation 0

	RevokedAt     *time.Time
	RevokedReason Reason
	RevokedBy     string

	FirstUserAgent string
	FirstAddress   netip.Addr
	LastUserAgent  string
	LastAddress    netip.Addr

	ForeignReplays ForeignReplays
	Replays        Replays
}

// RefreshToken is one link of the chain: a row of refresh_tokens.
type RefreshToken struct {
	ID         uuid.UUID
	ExpiresOn  time.Time
	FamilyID   uuid.UUID
	ParentID   *uuid.UUID // nil for the login's own
	Hash       [32]byte
	Generation int64
	IssuedAt   time.Time
	ExpiresAt  time.Time
	UserAgent  string
	Address    netip.Addr
}
