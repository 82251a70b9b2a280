package auth

import (
	"context"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
)

// DeleteUser ends a user and all of its families for good. What stays is a tombstone without name, password and
// claims, and an audit trail of ids; whoever is given the name next is another user, with nothing of this one's.
// ErrUserNotFound if nobody has the name or id.
func (s *Service) DeleteUser(ctx context.Context, caller Caller, nameOrID string) error {
	return s.changeUser(ctx, caller, nameOrID, func(ctx context.Context, tx *store.Tx, j *journal, user account.User) error {
		return s.bury(ctx, tx, j, user.ID, caller.Actor)
	})
}

// DeleteMe does the same to the signed-in user, who gives the password once more. ErrInvalidCredentials if it is
// a wrong one.
func (s *Service) DeleteMe(ctx context.Context, caller Caller, who Identity, password string) error {
	return unlessStale(func() error {
		user, err := s.confirmed(ctx, caller, who, password)
		if err != nil {
			return err
		}
		return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
			if err := holdConfirmed(ctx, tx, user); err != nil {
				return err
			}
			return s.bury(ctx, tx, j, user.ID, audit.ByUser(user.ID))
		})
	})
}

// bury deletes a living user whose row the transaction holds.
func (s *Service) bury(ctx context.Context, tx *store.Tx, j *journal, id uuid.UUID, by string) error {
	if changed, err := tx.DeleteUser(ctx, id); err != nil || !changed {
		return err
	}
	if err := tx.DropReset(ctx, id); err != nil {
		return err
	}
	if err := j.add(ctx, audit.Event{Kind: audit.UserDeleted, Actor: by, UserID: someID(id)}); err != nil {
		return err
	}
	return s.revokeAll(ctx, tx, j, id, uuid.Nil, family.ReasonUserDeleted, by)
}
