// Package account holds what a user and a client are and which names and passwords are accepted, without
// any I/O.
package account

import (
	"time"

	"github.com/google/uuid"
)

// Roles that Kindred itself knows; an application may give others.
const (
	RoleUser  = "user"
	RoleAdmin = "admin"
)

// User is a row of users. A deleted user has neither name nor hash.
type User struct {
	ID           uuid.UUID
	Username     string // as the user wrote it, in NFC
	Role         string
	Version      int64  // rises with role, state and password changes; the ver claim of access tokens
	PasswordHash string // PHC string
	Claims       map[string]any
	CreatedAt    time.Time
	DisabledAt   *time.Time
	DeletedAt    *time.Time

	PasswordChangedAt time.Time // a rehash of the same password is no change
}

// Enabled tells whether the user lives and may log in and refresh.
func (u User) Enabled() bool { return u.DisabledAt == nil && u.DeletedAt == nil }
