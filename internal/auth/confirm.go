package auth

import (
	"context"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/store"
)

// confirm checks the current password of a signed-in user, who is counted apart from those that log in:
// whoever holds an access token cannot lock the owner out by guessing. Errors: ErrInvalidCredentials, a
// *ThrottledError, ErrUnavailable.
func (s *Service) confirm(ctx context.Context, caller Caller, user account.User, typed string) error {
	pass, err := account.ParsePassword(typed)
	if err != nil {
		return ErrInvalidCredentials // no user can have such a password
	}
	a := attempt{kind: audit.PasswordRefused, user: someID(user.ID)}
	a, err = s.reserve(ctx, caller, a, store.Guessed{UserID: user.ID}, []store.Charge{
		{Key: s.guessKey(account.ScopeUser, string(user.ID[:])), Scope: account.ScopeUser, Streak: account.StrangersStreak()},
	})
	if err != nil {
		return err
	}
	result, err := s.hasher.Verify(ctx, user.PasswordHash, pass.Reveal(), pass.Typed())
	switch {
	case err != nil:
		err = unavailable(err)
	case !result.Match:
		err = &refusal{why: "wrong_password", user: someID(user.ID)}
	}
	return s.settle(ctx, caller, a, err)
}
