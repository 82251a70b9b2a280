package auth

import (
	"context"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/store"
)

// SetRole gives a user another role. Access tokens with the old one are refused from then on; the families live,
// and their next refresh brings the new one. It is nil when that was the role before. Errors: ErrUserNotFound,
// *account.InvalidError.
func (s *Service) SetRole(ctx context.Context, caller Caller, nameOrID, role string) error {
	role, err := account.ParseRole(role)
	if err != nil {
		return err
	}
	return s.changeUser(ctx, caller, nameOrID, func(ctx context.Context, tx *store.Tx, j *journal, user account.User) error {
		changed, err := tx.SetRole(ctx, user.ID, role)
		if err != nil || !changed {
			return err
		}
		return j.add(ctx, audit.Event{
			Kind: audit.RoleChanged, UserID: someID(user.ID), Detail: map[string]any{"from": user.Role, "to": role},
		})
	})
}
