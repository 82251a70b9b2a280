package auth

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/store"
)

// ErrOwnAccount: admins do not take their own rights away, which only an operator could give back.
var ErrOwnAccount = errors.New("one's own account")

// MayChange tells whether an admin may shut a user out, delete it or change its role: anybody but oneself
// (ErrOwnAccount). So of admins who act one after the other one is always left; two who act on each other at
// the same moment, and the last who leaves by DeleteMe, are ones for the command line.
func (who Identity) MayChange(id uuid.UUID) error {
	if who.User.ID == id {
		return ErrOwnAccount
	}
	return nil
}

// UserQuery says which users a list has; what is empty narrows nothing.
type UserQuery struct {
	Search string // the beginning of the name, however it is written
	Role   string
	State  string // enabled, disabled or all, which is the default
	Page
}

// UserPage is a page of living users, by their names.
type UserPage struct {
	Users []account.User
	Next  string // the cursor of the next page; empty: this is the last
}

// Users lists living users. A list that is read page by page has each user once who has the same name all the
// while. Errors: *QueryError, and *account.InvalidError of search or role.
func (s *Service) Users(ctx context.Context, q UserQuery) (UserPage, error) {
	if err := q.check(); err != nil {
		return UserPage{}, err
	}
	after, err := q.after()
	if err != nil {
		return UserPage{}, err
	}
	if !isText(after) {
		return UserPage{}, errCursor
	}
	filter := store.UserFilter{Role: q.Role}
	if filter.KeyPrefix, err = account.UsernamePrefix(q.Search); err != nil {
		return UserPage{}, err
	}
	if q.Role != "" {
		if _, err := account.ParseRole(q.Role); err != nil {
			return UserPage{}, err
		}
	}
	if filter.Enabled, err = either(q.State, "enabled", "disabled"); err != nil {
		return UserPage{}, err
	}
	users, next, err := s.store.Users(ctx, filter, after, q.Limit)
	if err != nil {
		return UserPage{}, err
	}
	return UserPage{Users: users, Next: cursor(next)}, nil
}
