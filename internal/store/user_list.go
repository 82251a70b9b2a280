package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

// UserFilter says which of the living users a list has.
type UserFilter struct {
	KeyPrefix string // the names' keys begin with it; empty: any
	Role      string // empty: any
	Enabled   *bool  // nil: either
}

const listUsers = `
	SELECT ` + userColumns + `, u.username_key FROM users u
	 WHERE u.deleted_at IS NULL
	   AND u.username_key COLLATE "C" >= $1 AND u.username_key COLLATE "C" < $2 AND u.username_key COLLATE "C" > $3
	   AND ($4 = '' OR u.role = $4)
	   AND ($5::boolean IS NULL OR (u.disabled_at IS NULL) = $5)
	 ORDER BY u.username_key COLLATE "C" LIMIT $6`

// Users lists living users by the bytes of their names' keys, limit of them at most, from behind the key
// after. next is what to list on after, empty where there are no more.
func (s *Store) Users(ctx context.Context, filter UserFilter, after string, limit int) (list []account.User, next string, err error) {
	// A range and no LIKE: a prefix that is a parameter narrows no scan in a generic plan, and nothing in it
	// needs an escape. No key has the last code point, which is no character.
	const lastCodePoint = "\U0010FFFF"
	var keys []string
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, listUsers, filter.KeyPrefix, filter.KeyPrefix+lastCodePoint, after, filter.Role, filter.Enabled, limit+1)
		if err != nil {
			return err
		}
		keys = nil
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.User, error) {
			var user account.User
			var key string
			err := row.Scan(append(userFields(&user), &key)...)
			keys = append(keys, key)
			return user, err
		})
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list users: %w", err)
	}
	if len(list) > limit {
		return list[:limit], keys[limit-1], nil
	}
	return list, "", nil
}
