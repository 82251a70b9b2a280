package auth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/family"
	"kindred/internal/store"
)

// ListedFamily is a family as an operator sees it.
type ListedFamily struct {
	family.Family
	State   family.State
	EndedAt time.Time // zero as StateAt has it
}

// FamilyQuery says which of a user's families a list has.
type FamilyQuery struct {
	State string // live, ended or all, which is the default
	Page
}

// FamilyPage is a page of a user's families, the newest first.
type FamilyPage struct {
	User     account.User
	Families []ListedFamily
	Next     string // the cursor of the next page; empty: this is the last
}

// Families lists the families of a living user. Errors: ErrUserNotFound, *QueryError.
func (s *Service) Families(ctx context.Context, nameOrID string, q FamilyQuery) (FamilyPage, error) {
	if err := q.check(); err != nil {
		return FamilyPage{}, err
	}
	live, err := either(q.State, "live", "ended")
	if err != nil {
		return FamilyPage{}, err
	}
	before := uuid.Max
	if q.Cursor != "" {
		text, err := q.after()
		if err != nil {
			return FamilyPage{}, err
		}
		if before, err = uuid.FromBytes([]byte(text)); err != nil {
			return FamilyPage{}, errCursor
		}
	}
	user, err := s.User(ctx, nameOrID)
	if err != nil {
		return FamilyPage{}, err
	}
	list, more, now, err := s.store.FamilyPage(ctx, user.ID, live, before, q.Limit)
	if err != nil {
		return FamilyPage{}, err
	}
	page := FamilyPage{User: user, Families: make([]ListedFamily, 0, len(list))}
	for _, f := range list {
		page.Families = append(page.Families, listed(f, now))
	}
	if more {
		last := list[len(list)-1].ID
		page.Next = cursor(string(last[:]))
	}
	return page, nil
}

// Family reads one family, ended or not, and its user, who may be deleted. ErrFamilyNotFound if there is none.
func (s *Service) Family(ctx context.Context, id uuid.UUID) (ListedFamily, account.User, error) {
	f, user, now, err := s.store.FamilyAndUser(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return ListedFamily{}, account.User{}, ErrFamilyNotFound
	}
	return listed(f, now), user, err
}

func listed(f family.Family, now time.Time) ListedFamily {
	state, ended := f.StateAt(now)
	return ListedFamily{f, state, ended}
}

// RevokeSession ends a family, whoever's it is; it is nil where it had ended before. ErrFamilyNotFound if there
// is none.
func (s *Service) RevokeSession(ctx context.Context, caller Caller, id uuid.UUID) error {
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		f, err := tx.LockFamily(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return ErrFamilyNotFound
		}
		if err != nil {
			return err
		}
		return s.revoke(ctx, tx, j, f, family.ReasonAdmin, caller.Actor)
	})
}

// RevokeSessions ends all families of a living user and returns how many it ended. Logins that are under way
// are waited for and ended too. ErrUserNotFound if nobody has the name or id.
func (s *Service) RevokeSessions(ctx context.Context, caller Caller, nameOrID string) (ended int, err error) {
	user, err := s.User(ctx, nameOrID)
	if err != nil {
		return 0, err
	}
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		if _, err := tx.LockUser(ctx, user.ID); err != nil {
			return err
		}
		err := s.revokeAll(ctx, tx, j, user.ID, uuid.Nil, family.ReasonAdmin, caller.Actor)
		ended = len(tx.Revoked())
		return err
	})
	if err != nil {
		return 0, err
	}
	return ended, nil
}
