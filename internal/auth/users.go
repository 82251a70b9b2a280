package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/password"
	"kindred/internal/store"
)

// Register creates a user of role user, where the operator lets people do so themselves. Errors:
// ErrRegistrationClosed, ErrUsernameTaken, *account.InvalidError, *ThrottledError.
func (s *Service) Register(ctx context.Context, caller Caller, username, typed string) (account.User, error) {
	if !s.config.RegistrationOpen {
		return account.User{}, ErrRegistrationClosed
	}
	leave, err := s.hasher.Admit(password.Strangers)
	if err != nil {
		return account.User{}, unavailable(err)
	}
	a, err := s.reserveRegistration(ctx, caller)
	leave() // what comes next may wait for another service, and hashing has the gate's own queue
	if err != nil {
		return account.User{}, err
	}
	user, err := s.CreateUser(ctx, caller, username, typed, account.RoleUser)
	s.settleRegistration(ctx, a, err)
	return user, err
}

// CreateUser creates a user of any role. Errors: ErrUsernameTaken, *account.InvalidError.
func (s *Service) CreateUser(ctx context.Context, caller Caller, username, password, role string) (account.User, error) {
	name, err := account.NewUsername(username)
	if err != nil {
		return account.User{}, err
	}
	pass, err := s.choosePassword(ctx, password, name)
	if err != nil {
		return account.User{}, err
	}
	if role, err = account.ParseRole(role); err != nil {
		return account.User{}, err
	}
	hash, err := s.hasher.Hash(ctx, pass.Reveal())
	if err != nil {
		return account.User{}, unavailable(err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return account.User{}, fmt.Errorf("make user id: %w", err)
	}
	var user account.User
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) (err error) {
		if user, err = tx.InsertUser(ctx, id, name, role, hash); err != nil {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.UserCreated, UserID: someID(id), Detail: map[string]any{"role": role}})
	})
	return user, err
}

// User reads a living user, by id or by name. What is written like an id is one, and no name: somebody may
// have taken the id of a user for a name, and must not be met in that user's place once it is deleted.
// ErrUserNotFound if there is none.
func (s *Service) User(ctx context.Context, nameOrID string) (account.User, error) {
	const idLength = 36 // the parser knows shorter forms too, which are fine names
	var user account.User
	id, err := uuid.Parse(nameOrID)
	if err == nil && len(nameOrID) == idLength {
		user, err = s.store.UserByID(ctx, id)
	} else {
		user, err = s.findUser(ctx, nameOrID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return account.User{}, ErrUserNotFound
	}
	return user, err
}

// DisableUser shuts a user out: no login, no refresh, and all its families end with it. It is nil
// when the user was disabled before. ErrUserNotFound if nobody has the name or id.
func (s *Service) DisableUser(ctx context.Context, caller Caller, nameOrID string) error {
	return s.changeUser(ctx, caller, nameOrID, func(ctx context.Context, tx *store.Tx, j *journal, user account.User) error {
		changed, err := tx.DisableUser(ctx, user.ID)
		if err != nil || !changed {
			return err
		}
		if err := j.add(ctx, audit.Event{Kind: audit.UserDisabled, UserID: someID(user.ID)}); err != nil {
			return err
		}
		// A later statement than the one that locked the user: it sees the logins that this one waited for.
		return s.revokeAll(ctx, tx, j, user.ID, uuid.Nil, family.ReasonUserDisabled, caller.Actor)
	})
}

// EnableUser lets a user log in again; what was revoked stays revoked. ErrUserNotFound if nobody has
// the name or id.
func (s *Service) EnableUser(ctx context.Context, caller Caller, nameOrID string) error {
	return s.changeUser(ctx, caller, nameOrID, func(ctx context.Context, tx *store.Tx, j *journal, user account.User) error {
		changed, err := tx.EnableUser(ctx, user.ID)
		if err != nil || !changed {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.UserEnabled, UserID: someID(user.ID)})
	})
}

// changeUser runs fn in a transaction that holds the living user's row.
func (s *Service) changeUser(ctx context.Context, caller Caller, nameOrID string, fn func(context.Context, *store.Tx, *journal, account.User) error) error {
	found, err := s.User(ctx, nameOrID)
	if err != nil {
		return err
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		user, err := lockLiving(ctx, tx, found.ID)
		if err != nil {
			return err
		}
		return fn(ctx, tx, j, user)
	})
}

// lockLiving holds the row of a user that nobody has deleted meanwhile, or is ErrUserNotFound.
func lockLiving(ctx context.Context, tx *store.Tx, id uuid.UUID) (account.User, error) {
	user, err := tx.LockUser(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && user.DeletedAt != nil {
		return account.User{}, ErrUserNotFound
	}
	return user, err
}
