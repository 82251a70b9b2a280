package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// partitionsAhead is how far partitions reach beyond what could be needed today: time for an
// operator to notice that nobody makes them any more.
const partitionsAhead = 8 * 7 * 24 * time.Hour

// EnsurePartitions makes the weekly partitions that are missing from today (by the database's clock)
// through the longest lifetime of a family and eight weeks. Any number of replicas may run it. It takes
// as long as it takes, since nobody waits behind it: were it cut off by the time-outs of a request's
// statements, it would be so each time.
func (s *Store) EnsurePartitions(ctx context.Context) error {
	const statement = `
		SELECT kindred_ensure_partitions('refresh_tokens', today, (today + $1::interval)::date),
		       kindred_ensure_partitions('audit_events', today, (today + $2::interval)::date)
		  FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS today) AS t`
	return s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, statement, s.maxLifetime+partitionsAhead, partitionsAhead)
			return err
		})
	})
}
