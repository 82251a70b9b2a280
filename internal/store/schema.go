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

// SchemaError tells that the schema is older than this binary needs, or so much newer that it took away what
// this binary needs.
type SchemaError struct {
	Have, Need int64 // versions of the database's schema and of this binary's
	Oldest     int64 // binary that works on the database's, where this one is older; else 0
}

func (e *SchemaError) Error() string {
	if e.Oldest > 0 {
		return fmt.Sprintf("the schema is at version %d and needs a binary of version %d or newer, this one is of %d: "+
			"upgrade this replica (`kindred version` tells what it runs)", e.Have, e.Oldest, e.Need)
	}
	return fmt.Sprintf("the schema is at version %d and this binary needs %d: run `kindred migrate up`", e.Have, e.Need)
}

// CheckReady asks whether the database answers, takes writes and has a schema that this binary works on: nil, a
// *SchemaError, or ErrUnavailable. A newer schema is good as long as it still has all that older binaries
// need, which is how replicas are upgraded one by one; its migrations say so.
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
	case have > migrations.Latest():
		err = s.checkNotTooOld(ctx, have)
	}
	if err == nil && readOnly {
		err = fmt.Errorf("%w: it is read-only", ErrUnavailable)
	}
	return err
}

// checkNotTooOld asks a schema that is newer than this binary whether it is too new for it.
func (s *Store) checkNotTooOld(ctx context.Context, have int64) error {
	const statement = `SELECT kindred_oldest_binary()`
	var oldest int64
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statement).Scan(&oldest)
	})
	if err != nil {
		return fmt.Errorf("ask which binaries the schema is for: %w", err)
	}
	if migrations.Latest() < oldest {
		return &SchemaError{Have: have, Need: migrations.Latest(), Oldest: oldest}
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
