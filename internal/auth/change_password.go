package auth

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
)

// ChangePassword gives the signed-in user another password and ends all families but the one that asks, in
// one transaction; a login with the old password that is under way ends too. Access tokens handed out before
// are refused from then on, those of the asking family too: its next refresh brings one that is not. Errors:
// ErrInvalidCredentials for a wrong current password, *account.InvalidError for a new one that will not do.
func (s *Service) ChangePassword(ctx context.Context, caller Caller, who Identity, current, newPassword string) error {
	return unlessStale(func() error {
		user, err := s.confirmed(ctx, caller, who, current)
		if err != nil {
			return err
		}
		hash, err := s.hashNewPassword(ctx, user, newPassword)
		if err != nil {
			return err
		}
		return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
			if err := holdConfirmed(ctx, tx, user); err != nil {
				return err
			}
			return s.replacePassword(ctx, tx, j, user.ID, hash, passwordChange{
				kind: audit.PasswordChanged, reason: family.ReasonPassword, by: audit.ByUser(user.ID), except: who.SessionID,
			})
		})
	})
}

// SetPassword gives a user another password, as an operator does, and ends all families. A disabled user stays
// disabled. Errors: ErrUserNotFound, *account.InvalidError.
func (s *Service) SetPassword(ctx context.Context, caller Caller, nameOrID, newPassword string) error {
	user, err := s.User(ctx, nameOrID)
	if err != nil {
		return err
	}
	hash, err := s.hashNewPassword(ctx, user, newPassword)
	if err != nil {
		return err
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		if _, err := lockLiving(ctx, tx, user.ID); err != nil {
			return err
		}
		return s.replacePassword(ctx, tx, j, user.ID, hash, passwordChange{
			kind: audit.PasswordChanged, reason: family.ReasonPassword, by: caller.Actor,
		})
	})
}

// hashNewPassword accepts a new password of a user and hashes it, before any row is held.
func (s *Service) hashNewPassword(ctx context.Context, user account.User, typed string) (string, error) {
	name, err := account.ParseUsername(user.Username)
	if err != nil {
		return "", fmt.Errorf("parse stored username: %w", err)
	}
	pass, err := s.choosePassword(ctx, typed, name)
	if err != nil {
		return "", err
	}
	hash, err := s.hasher.Hash(ctx, pass.Reveal())
	if err != nil {
		return "", unavailable(err)
	}
	return hash, nil
}

type passwordChange struct {
	kind   audit.Kind
	reason family.Reason // of the families that end
	by     string
	except uuid.UUID // the family that lives on; Nil: none
}

// replacePassword sets the password of a user whose row the transaction holds. A reset link that is out dies
// with the old password.
func (s *Service) replacePassword(ctx context.Context, tx *store.Tx, j *journal, id uuid.UUID, hash string, c passwordChange) error {
	changed, err := tx.SetPassword(ctx, id, hash)
	if err != nil {
		return err
	}
	if !changed {
		return fmt.Errorf("set password of held user %s: %w", id, ErrUserNotFound)
	}
	if err := tx.DropReset(ctx, id); err != nil {
		return err
	}
	if err := j.add(ctx, audit.Event{Kind: c.kind, Actor: c.by, UserID: someID(id)}); err != nil {
		return err
	}
	// A later statement than the one that locked the user: it sees the logins that this one waited for.
	return s.revokeAll(ctx, tx, j, id, c.except, c.reason, c.by)
}
