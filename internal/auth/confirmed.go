package auth

import (
	"context"
	"errors"
	"fmt"

	"kindred/internal/account"
	"kindred/internal/store"
)

// confirmed reads the signed-in user and checks the password that was typed. ErrInvalidCredentials for a
// wrong one, and where the user was disabled or deleted a moment ago.
func (s *Service) confirmed(ctx context.Context, caller Caller, who Identity, typed string) (account.User, error) {
	user, err := s.store.UserByID(ctx, who.User.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !user.Enabled() {
		return account.User{}, ErrInvalidCredentials
	}
	if err != nil {
		return account.User{}, err
	}
	return user, s.confirm(ctx, caller, user, typed)
}

// holdConfirmed locks a user whose password was checked. errStale if it is another since; ErrInvalidCredentials
// if the user was disabled or deleted since.
func holdConfirmed(ctx context.Context, tx *store.Tx, user account.User) error {
	held, err := tx.LockUser(ctx, user.ID)
	switch {
	case err != nil:
		return err
	case !held.Enabled():
		return ErrInvalidCredentials
	case held.PasswordHash != user.PasswordHash:
		return errStale
	}
	return nil
}

// unlessStale runs act, and once more if the password changed between its check and the user's lock. One that
// changes twice meanwhile waits for the next request.
func unlessStale(act func() error) error {
	err := act()
	if errors.Is(err, errStale) {
		err = act()
	}
	if errors.Is(err, errStale) {
		return fmt.Errorf("confirm password: %w: %w", ErrUnavailable, errStale)
	}
	return err
}
