package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

// KnowsDevice tells whether a device token that was issued to a user at that time is of use for a login by
// a name: the living user of that name is the one, no password was set since, and the token is not older
// than lifetime. The same statement whether or not anybody has the name.
func (s *Store) KnowsDevice(ctx context.Context, name account.Username, userID uuid.UUID, issued time.Time, lifetime time.Duration) (known bool, err error) {
	const statement = `
		SELECT EXISTS (SELECT FROM users
		                WHERE username_key = $1 AND id = $2 AND deleted_at IS NULL
		                  AND password_changed_at <= $3 AND clock_timestamp() < $3::timestamptz + $4::interval)`
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statement, name.Key(), userID, issued, lifetime).Scan(&known)
	})
	if err != nil {
		return false, fmt.Errorf("look for device: %w", err)
	}
	return known, nil
}
