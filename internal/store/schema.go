package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
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

// LooseSettings names the settings of this Store's sessions that bound less than they should, each with what
// it should be. Behind a pooler they are the role's, not ours.
func (s *Store) LooseSettings(ctx context.Context) ([]string, error) {
	const statement = `SELECT name, setting FROM pg_settings WHERE name = ANY ($1) ORDER BY name`
	var loose []string
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		loose = nil
		rows, err := conn.Query(ctx, statement, slices.Collect(maps.Keys(s.settings)))
		if err != nil {
			return err
		}
		var name, value string
		_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
			if wanted := s.settings[name]; !asTight(value, wanted) {
				loose = append(loose, fmt.Sprintf("%s is %s, not %s", name, value, wanted))
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read session settings: %w", err)
	}
	return loose, nil
}

// asTight compares milliseconds, of which 0 is none at all, and words.
func asTight(value, wanted string) bool {
	most, err := strconv.Atoi(wanted)
	if err != nil {
		return value == wanted
	}
	n, err := strconv.Atoi(value)
	return err == nil && 0 < n && n <= most
}
