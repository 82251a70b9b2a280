package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/migrations"
)

// SchemaError tells that the schema is older than this binary needs.
type SchemaError struct{ Have, Need int64 }

func (e *SchemaError) Error() string {
	return fmt.Sprintf("the schema is at version %d and this binary needs %d: run `kindred migrate up`", e.Have, e.Need)
}

// CheckReady asks whether the database answers, takes writes and has the schema: nil, a
// *SchemaError, or ErrUnavailable.
func (s *Store) CheckReady(ctx context.Context) error {
	const statement = `
		SELECT current_setting('transaction_read_only')::boolean, coalesce(max(version_id), 0)
		  FROM ` + migrations.VersionTable + ` WHERE is_applied`
	var readOnly bool
	var have int64
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statement).Scan(&readOnly, &have)
	})
	var pgErr *pgconn.PgError
	const undefinedTable = "42P01"
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == undefinedTable:
		return &SchemaError{Have: 0, Need: migrations.Latest()}
	case err != nil:
		return fmt.Errorf("check schema: %w", err)
	case have < migrations.Latest():
		return &SchemaError{Have: have, Need: migrations.Latest()}
	case readOnly:
		return fmt.Errorf("%w: it is read-only", ErrUnavailable)
	}
	return nil
}
