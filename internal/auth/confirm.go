package auth

import (
	"context"

	"kindred/internal/account"
)

// confirm checks the password of a user who is signed in already. ErrInvalidCredentials if it is another.
func (s *Service) confirm(ctx context.Context, _ Caller, user account.User, typed string) error {
	pass, err := account.ParsePassword(typed)
	if isInvalidInput(err) {
		return ErrInvalidCredentials
	}
	if err != nil {
		return err
	}
	result, err := s.hasher.Verify(ctx, user.PasswordHash, pass.Reveal())
	if err != nil {
		return unavailable(err)
	}
	if !result.Match {
		return ErrInvalidCredentials
	}
	return nil
}
