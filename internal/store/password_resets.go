package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

// PutReset stores the hash of a user's reset token for as long as it lasts, in place of an earlier one.
// The caller holds the user's row.
func (tx *Tx) PutReset(ctx context.Context, userID uuid.UUID, tokenHash [32]byte, lasts time.Duration, by string) (expires time.Time, err error) {
	const statement = `
		INSERT INTO password_resets (user_id, token_hash, created_at, expires_at, created_by)
		SELECT $1, $2, t.now, t.now + $3::interval, $4 FROM (SELECT clock_timestamp() AS now) AS t
		    ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash, created_at = excluded.created_at,
		       expires_at = excluded.expires_at, created_by = excluded.created_by
		RETURNING expires_at`
	if err := tx.tx.QueryRow(ctx, statement, userID, tokenHash[:], lasts, by).Scan(&expires); err != nil {
		return time.Time{}, fmt.Errorf("store reset token: %w", translate(err))
	}
	return expires, nil
}

// UserOfReset reads the user whose reset token has that hash and has not expired, without a lock: enough to
// look at a new password, and not to set it. ErrNotFound if there is none.
func (s *Store) UserOfReset(ctx context.Context, tokenHash [32]byte) (account.User, error) {
	const statement = `
		SELECT ` + userColumns + ` FROM password_resets r JOIN users u ON u.id = r.user_id
		 WHERE r.token_hash = $1 AND r.expires_at > clock_timestamp() AND u.deleted_at IS NULL`
	var user account.User
	err := s.withConn(ctx, func(conn *pgxpool.Conn) (err error) {
		user, err = scanUser(conn.QueryRow(ctx, statement, tokenHash[:]))
		return err
	})
	if err != nil {
		return account.User{}, fmt.Errorf("read user of reset token: %w", err)
	}
	return user, nil
}

// UseReset takes a user's reset token away if it stands and has not expired: of all who present it, one is
// told true. The caller holds the user's row.
func (tx *Tx) UseReset(ctx context.Context, userID uuid.UUID, tokenHash [32]byte) (used bool, err error) {
	const statement = `DELETE FROM password_resets WHERE user_id = $1 AND token_hash = $2 AND expires_at > clock_timestamp()`
	return tx.changeOne(ctx, "use reset token", statement, userID, tokenHash[:])
}

// DropReset takes a user's reset token away, if there is one. The caller holds the user's row.
func (tx *Tx) DropReset(ctx context.Context, userID uuid.UUID) error {
	const statement = `DELETE FROM password_resets WHERE user_id = $1`
	_, err := tx.changeOne(ctx, "drop reset token", statement, userID)
	return err
}

// DropAllResets takes everybody's reset token away.
func (tx *Tx) DropAllResets(ctx context.Context) error {
	if _, err := tx.tx.Exec(ctx, `DELETE FROM password_resets`); err != nil {
		return fmt.Errorf("drop all reset tokens: %w", translate(err))
	}
	return nil
}

// PurgeResets deletes reset tokens that have expired. There is one a user at most.
func (s *Store) PurgeResets(ctx context.Context) error {
	const statement = `DELETE FROM password_resets WHERE expires_at <= clock_timestamp()`
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
	if err != nil {
		return fmt.Errorf("purge reset tokens: %w", err)
	}
	return nil
}
