// Package audit names Kindred's security events and says what a record of one holds, without any
// I/O. Events are appended in the transaction that makes them true, and never changed.
package audit

import (
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Kind names an event. The names are stable: operators search for them.
type Kind string

const (
	UserCreated  Kind = "user_created"
	UserDisabled Kind = "user_disabled"
	UserEnabled  Kind = "user_enabled"
	UserDeleted  Kind = "user_deleted"
	RoleChanged  Kind = "role_changed" // detail has both roles

	LoginOK        Kind = "login_ok"
	LoginRefused   Kind = "login_refused"
	LoginThrottled Kind = "login_throttled" // refused unread, for the guesses before

	PasswordChanged Kind = "password_changed"
	PasswordRefused Kind = "password_refused" // a signed-in user's current password was wrong
	PasswordRehash  Kind = "password_rehashed"
	ResetLinkMade   Kind = "reset_link_made"
	PasswordReset   Kind = "password_reset"

	GraceReplay    Kind = "grace_replay"    // a parent presented inside the reuse interval; detail has how many such since the event before
	ReuseDetected  Kind = "reuse_detected"  // detail names both parties
	SuspectedTheft Kind = "suspected_theft" // two parties refresh in turns; detail names both
	TokenLost      Kind = "token_lost"      // our MAC, but no such token stands
	FamilyRevoked  Kind = "family_revoked"
	TokenRevoked   Kind = "token_revoked" // one access token, by its client; detail has its jti
	Logout         Kind = "logout"

	KeyPublished    Kind = "key_published" // detail has the id and when it begins to sign
	KeyRetired      Kind = "key_retired"
	KeyRevoked      Kind = "key_revoked"
	KeysReencrypted Kind = "keys_reencrypted"

	ClientAdded         Kind = "client_added" // detail has its type and whether it may introspect
	ClientSecretRotated Kind = "client_secret_rotated"
	ClientDisabled      Kind = "client_disabled"

	Purged Kind = "purged" // detail has how many families, or the partition

	RestoreGuarded    Kind = "restore_guarded"    // every family ended after a restore; detail has how many
	InstallationMoved Kind = "installation_moved" // an operator says that the database is no copy that lost something
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{
		UserCreated, UserDisabled, UserEnabled, UserDeleted, RoleChanged, LoginOK,
		LoginRefused, LoginThrottled, PasswordChanged, PasswordRefused, PasswordRehash, ResetLinkMade,
		PasswordReset, GraceReplay, ReuseDetected, SuspectedTheft, TokenLost, FamilyRevoked,
		TokenRevoked, Logout, KeyPublished, KeyRetired, KeyRevoked, KeysReencrypted,
		ClientAdded, ClientSecretRotated, ClientDisabled, Purged,
		RestoreGuarded, InstallationMoved,
	}
}

// Known tells whether there is such a kind.
func Known(k Kind) bool { return slices.Contains(Kinds(), k) }

// Event is one record. The time is the database's, set when it is appended.
type Event struct {
	ID        uuid.UUID // set when it is appended, as is At
	At        time.Time
	Kind      Kind
	Actor     string // who did it: user:ID, client:ID, cli, dev, kindred, or empty where the request did it without a user
	UserID    uuid.NullUUID
	FamilyID  uuid.NullUUID
	ClientID  string
	RequestID string
	Address   netip.Addr
	UserAgent string         // cleaned: valid UTF-8, no controls, 256 bytes at most
	Reason    string         // why, where the kind alone does not say: one word
	Detail    map[string]any // never a secret, never a name that belongs to no user
}

// ByUser is the actor of what a signed-in user does.
func ByUser(id uuid.UUID) string { return "user:" + id.String() }

// ByClient is the actor of what an OAuth client does for itself.
func ByClient(id string) string { return "client:" + id }

// ByCLI is the actor of what an operator does on the command line.
const ByCLI = "cli"

// BySystem is the actor of what Kindred does by its own rules, as when it finds reuse.
const BySystem = "kindred"
