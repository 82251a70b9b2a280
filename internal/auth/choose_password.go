package auth

import (
	"context"

	"kindred/internal/account"
)

// choosePassword accepts what somebody typed as the new password of a user of that name. The error is an
// *account.InvalidError.
func (s *Service) choosePassword(_ context.Context, typed string, _ account.Username) (account.Password, error) {
	return account.ParsePassword(typed)
}
