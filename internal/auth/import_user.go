package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/password"
	"kindred/internal/store"
	"kindred/internal/token"
)

// ErrUserIDTaken: another user, living or deleted, has that id.
var ErrUserIDTaken = store.ErrUserIDTaken

// ImportedUser is a user as another system kept it. Only the name and the hash are needed.
type ImportedUser struct {
	Username     string
	PasswordHash string // in a form that password.Check accepts
	Role         string // empty: account.RoleUser
	Claims       map[string]any
	Disabled     bool
	CreatedAt    *time.Time // nil: now
	ID           *uuid.UUID // nil: a new one
}

// ImportUser creates a user whose password only its hash is known of: no policy is asked, and the first login
// makes a hash of today's kind. While the user lives, a further call changes nothing.
// Errors: ErrUsernameTaken, ErrUserIDTaken, *account.InvalidError.
func (s *Service) ImportUser(ctx context.Context, caller Caller, u ImportedUser) error {
	imported, err := checkImported(u)
	if err != nil {
		return err
	}
	detail := map[string]any{"role": imported.Role, "import": true}
	if u.Disabled {
		detail["disabled"] = true
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		if err := tx.ImportUser(ctx, imported); err != nil {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.UserCreated, UserID: someID(imported.ID), Detail: detail})
	})
}

func checkImported(u ImportedUser) (store.ImportedUser, error) {
	refuse := func(field, reason string) (store.ImportedUser, error) {
		return store.ImportedUser{}, &account.InvalidError{Field: field, Reason: reason}
	}
	name, err := account.NewUsername(u.Username)
	if err != nil {
		return store.ImportedUser{}, err
	}
	if u.Role == "" {
		u.Role = account.RoleUser
	}
	role, err := account.ParseRole(u.Role)
	if err != nil {
		return store.ImportedUser{}, err
	}
	if err := password.Check(u.PasswordHash); err != nil {
		return refuse("passwordHash", "It is of no form that can be verified, or asks for more work than one login may cost.")
	}
	if reason := unfitClaims(u.Claims); reason != "" {
		return refuse("claims", reason)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return store.ImportedUser{}, fmt.Errorf("make user id: %w", err)
	}
	if u.ID != nil {
		id = *u.ID
	}
	if id == uuid.Nil {
		return refuse("id", "It must not be all zeros.")
	}
	return store.ImportedUser{
		ID: id, Name: name, Role: role, PasswordHash: password.Foreign(u.PasswordHash), Claims: u.Claims, CreatedAt: u.CreatedAt, Disabled: u.Disabled,
	}, nil
}

// unfitClaims says why claims cannot go into each of a user's access tokens; empty if they can.
func unfitClaims(claims map[string]any) string {
	const maxBytes = 4 << 10 // of a token that nobody reads beyond 16 KiB
	text, err := json.Marshal(claims)
	switch {
	case err != nil:
		return "They are no JSON object."
	case len(text) > maxBytes:
		return fmt.Sprintf("They must have %d bytes of JSON at most, since they are in each access token.", maxBytes)
	case strings.Contains(string(text), `\u0000`):
		return "They must not contain the NUL character."
	}
	for name := range claims {
		if token.IsOurs(name) {
			return fmt.Sprintf("%q is a claim of Kindred's own.", name)
		}
	}
	return ""
}

// IsRefusal tells whether an ImportUser was refused for what it was given, so that others may pass.
func IsRefusal(err error) bool { return isInvalidInput(err) || errors.Is(err, ErrUserIDTaken) }
