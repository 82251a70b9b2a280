package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
)

// ErrUserIDTaken: another user, living or deleted, has that id.
var ErrUserIDTaken = errors.New("user id is taken")

// ImportedUser is a user as another system kept it.
type ImportedUser struct {
	ID           uuid.UUID
	Name         account.Username
	Role         string
	PasswordHash string
	Claims       map[string]any
	CreatedAt    *time.Time // nil, and what is still to come: now
	Disabled     bool
}

// ImportUser creates a user with all that it brings. The password is as new here as the user, whenever it was
// created elsewhere: guesses at the name from before are void. ErrUsernameTaken if a living user has the name, and
// ErrUserIDTaken if another user has the id; then nothing is changed, and the transaction can go on.
func (tx *Tx) ImportUser(ctx context.Context, u ImportedUser) error {
	const insert = `
		INSERT INTO users (id, username, username_key, role, password_hash, claims, created_at, password_changed_at, disabled_at)
		SELECT $1, $2, $3, $4, $5, $6, least(coalesce($7, t.now), t.now), t.now, CASE WHEN $8 THEN t.now END
		  FROM (SELECT clock_timestamp() AS now) AS t
		ON CONFLICT DO NOTHING`
	// A later statement: it sees whom the insertion waited for.
	const taken = `SELECT EXISTS (SELECT FROM users WHERE username_key = $1 AND deleted_at IS NULL)`
	claims := u.Claims
	if claims == nil {
		claims = map[string]any{}
	}
	inserted, err := tx.changeOne(ctx, "import user", insert, u.ID, u.Name.String(), u.Name.Key(), u.Role, u.PasswordHash, claims, u.CreatedAt, u.Disabled)
	if err != nil || inserted {
		return err
	}
	var exists bool
	if err := tx.tx.QueryRow(ctx, taken, u.Name.Key()).Scan(&exists); err != nil {
		return fmt.Errorf("look for imported user: %w", translate(err))
	}
	if exists {
		return ErrUsernameTaken
	}
	return ErrUserIDTaken
}
