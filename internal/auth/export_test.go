package auth

import (
	"context"

	"kindred/internal/account"
)

// Confirm is confirm.
func (s *Service) Confirm(ctx context.Context, caller Caller, user account.User, typed string) error {
	return s.confirm(ctx, caller, user, typed)
}
