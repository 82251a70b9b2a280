package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

const userColumns = `u.id, coalesce(u.username, ''), u.role, u.version, coalesce(u.password_hash, ''), u.claims,
	u.created_at, u.disabled_at, u.deleted_at, u.password_changed_at`

// userFields are the places that userColumns is scanned into.
func userFields(u *account.User) []any {
	return []any{&u.ID, &u.Username, &u.Role, &u.Version, &u.PasswordHash, &u.Claims, &u.CreatedAt, &u.DisabledAt, &u.DeletedAt, &u.PasswordChangedAt}
}

func scanUser(row pgx.Row) (account.User, error) {
	var u account.User
	err := row.Scan(userFields(&u)...)
	return u, translate(err)
}

// UserByName reads a living user by the key of its name, without a lock. ErrNotFound if there is none.
func (s *Store) UserByName(ctx context.Context, name account.Username) (account.User, error) {
	const statement = `SELECT ` + userColumns + ` FROM users u WHERE u.username_key = $1 AND u.deleted_at IS NULL`
	var user account.User
	err := s.withConn(ctx, func(conn *pgxpool.Conn) (err error) {
		user, err = scanUser(conn.QueryRow(ctx, statement, name.Key()))
		return err
	})
	if err != nil {
		return account.User{}, fmt.Errorf("read user by name: %w", err)
	}
	return user, nil
}

// UserByID reads a living user without a lock. ErrNotFound if there is none.
func (s *Store) UserByID(ctx context.Context, id uuid.UUID) (account.User, error) {
	const statement = `SELECT ` + userColumns + ` FROM users u WHERE u.id = $1 AND u.deleted_at IS NULL`
	var user account.User
	err := s.withConn(ctx, func(conn *pgxpool.Conn) (err error) {
		user, err = scanUser(conn.QueryRow(ctx, statement, id))
		return err
	})
	if err != nil {
		return account.User{}, fmt.Errorf("read user by id: %w", err)
	}
	return user, nil
}

// InsertUser creates a user with the database's time. ErrUsernameTaken if a living user has the name.
func (tx *Tx) InsertUser(ctx context.Context, id uuid.UUID, name account.Username, role, passwordHash string) (account.User, error) {
	const statement = `
		INSERT INTO users AS u (id, username, username_key, role, password_hash, created_at, password_changed_at)
		SELECT $1, $2, $3, $4, $5, t.now, t.now FROM (SELECT clock_timestamp() AS now) AS t
		RETURNING ` + userColumns
	user, err := scanUser(tx.tx.QueryRow(ctx, statement, id, name.String(), name.Key(), role, passwordHash))
	if err != nil {
		return account.User{}, fmt.Errorf("insert user: %w", err)
	}
	return user, nil
}

// ShareUser reads a user under a lock that keeps everybody from changing it until the transaction
// ends, but lets other logins in. ErrNotFound if there is none.
func (tx *Tx) ShareUser(ctx context.Context, id uuid.UUID) (account.User, error) {
	const statement = `SELECT ` + userColumns + ` FROM users u WHERE u.id = $1 FOR SHARE`
	user, err := scanUser(tx.tx.QueryRow(ctx, statement, id))
	if err != nil {
		return account.User{}, fmt.Errorf("share user: %w", err)
	}
	return user, nil
}

// LockUser holds a user's row, so that no login of that user begins or ends until the transaction
// does: what is locked in a later statement is all there is. ErrNotFound if there is none.
func (tx *Tx) LockUser(ctx context.Context, id uuid.UUID) (account.User, error) {
	const statement = `SELECT ` + userColumns + ` FROM users u WHERE u.id = $1 FOR NO KEY UPDATE`
	user, err := scanUser(tx.tx.QueryRow(ctx, statement, id))
	if err != nil {
		return account.User{}, fmt.Errorf("lock user: %w", err)
	}
	return user, nil
}

// DisableUser and EnableUser change the state of a living user and raise its version, which ends all
// its access tokens: those of a lower version go on the blacklist. changed is false when the user was in
// that state already.
func (tx *Tx) DisableUser(ctx context.Context, id uuid.UUID) (changed bool, err error) {
	const statement = `
		WITH changed AS (
		    UPDATE users SET disabled_at = clock_timestamp(), version = version + 1
		     WHERE id = $1 AND disabled_at IS NULL AND deleted_at IS NULL
		    RETURNING id, version
		) ` + revokeOlderVersions
	return tx.changeUser(ctx, "disable user", statement, id)
}

// EnableUser undoes DisableUser. The families that were revoked stay revoked.
func (tx *Tx) EnableUser(ctx context.Context, id uuid.UUID) (changed bool, err error) {
	const statement = `
		WITH changed AS (
		    UPDATE users SET disabled_at = NULL, version = version + 1
		     WHERE id = $1 AND disabled_at IS NOT NULL AND deleted_at IS NULL
		    RETURNING id, version
		) ` + revokeOlderVersions
	return tx.changeUser(ctx, "enable user", statement, id)
}

// SetRole gives a living user another role and raises its version: access tokens with the old one go on the
// blacklist, and the next refresh brings the new one. changed is false when that was the role already.
func (tx *Tx) SetRole(ctx context.Context, id uuid.UUID, role string) (changed bool, err error) {
	const statement = `
		WITH changed AS (
		    UPDATE users SET role = $3, version = version + 1
		     WHERE id = $1 AND role <> $3 AND deleted_at IS NULL
		    RETURNING id, version
		) ` + revokeOlderVersions
	return tx.changeUser(ctx, "set role", statement, id, role)
}

// SetPassword replaces a living user's password by another and raises the version, which ends all its access
// tokens. Whoever needs that the old password still stands has looked under the user's lock.
func (tx *Tx) SetPassword(ctx context.Context, id uuid.UUID, hash string) (changed bool, err error) {
	const statement = `
		WITH changed AS (
		    UPDATE users SET password_hash = $3, password_changed_at = clock_timestamp(), version = version + 1
		     WHERE id = $1 AND deleted_at IS NULL
		    RETURNING id, version
		) ` + revokeOlderVersions
	return tx.changeUser(ctx, "set password", statement, id, hash)
}

// DeleteUser leaves of a living user a tombstone, to which families and audit events point, and frees its
// name. changed is false when it was deleted before.
func (tx *Tx) DeleteUser(ctx context.Context, id uuid.UUID) (changed bool, err error) {
	const statement = `
		WITH changed AS (
		    UPDATE users SET deleted_at = clock_timestamp(), version = version + 1,
		           username = NULL, username_key = NULL, password_hash = NULL, claims = '{}'
		     WHERE id = $1 AND deleted_at IS NULL
		    RETURNING id, version
		) ` + revokeOlderVersions
	return tx.changeUser(ctx, "delete user", statement, id)
}

// revokeOlderVersions takes a user whose version rose (changed) and the longest that a token lives.
const revokeOlderVersions = `
		INSERT INTO revocations (kind, subject, below, until)
		SELECT 'user', id, version, clock_timestamp() + $2::interval FROM changed
		RETURNING ` + revocationColumns

func (tx *Tx) changeUser(ctx context.Context, what, statement string, id uuid.UUID, more ...any) (changed bool, err error) {
	written, err := tx.list(ctx, what, statement, append([]any{id, MaxAccessLifetime + afterlife}, more...)...)
	return len(written) > 0, err
}

// ReplacePasswordHash stores another hash of the same password, if the old one still stands. The
// version stays, since the password did not change.
func (tx *Tx) ReplacePasswordHash(ctx context.Context, id uuid.UUID, old, replacement string) (changed bool, err error) {
	const statement = `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`
	return tx.changeOne(ctx, "replace password hash", statement, id, old, replacement)
}

// changeOne runs a guarded UPDATE of one row at most: the row count, not an earlier read, decides.
func (tx *Tx) changeOne(ctx context.Context, what, statement string, args ...any) (bool, error) {
	tag, err := tx.tx.Exec(ctx, statement, args...)
	if err != nil {
		return false, fmt.Errorf("%s: %w", what, translate(err))
	}
	return tag.RowsAffected() == 1, nil
}

// Now reads the database's clock.
func (tx *Tx) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := tx.tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", translate(err))
	}
	return now, nil
}

// HasUsers tells whether there is any user, living or deleted; false where there is no schema yet.
func (s *Store) HasUsers(ctx context.Context) (bool, error) {
	var schema, users bool
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		if err := conn.QueryRow(ctx, `SELECT to_regclass('users') IS NOT NULL`).Scan(&schema); err != nil || !schema {
			return err
		}
		return conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users)`).Scan(&users)
	})
	if err != nil {
		return false, fmt.Errorf("look for users: %w", err)
	}
	return users, nil
}
