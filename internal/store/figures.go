package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolLoad is how busy the connections are. Counts are since the start.
type PoolLoad struct {
	Max, InUse, Idle, Opening int
	Acquired                  int64         // times that a connection was taken
	Waited                    int64         // times of these that none was free
	WaitedFor                 time.Duration // in all
	GaveUp                    int64         // times that a wait for one was in vain
}

// PoolLoad tells how busy the connections are. It asks nobody.
func (s *Store) PoolLoad() PoolLoad {
	stat := s.pool.Stat()
	return PoolLoad{
		Max: int(stat.MaxConns()), InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Opening: int(stat.ConstructingConns()),
		Acquired: stat.AcquireCount(), Waited: stat.EmptyAcquireCount(), WaitedFor: stat.EmptyAcquireWaitTime(), GaveUp: stat.CanceledAcquireCount(),
	}
}

// Figures are what the database says of itself at little cost, however large it is.
type Figures struct {
	Now         time.Time     // the database's clock
	ClockOffset time.Duration // how far this process is ahead of it; half the time of the question is in doubt
	// Families is the planner's estimate of those that are neither revoked nor purged, as of the last ANALYZE; nil
	// while there was none.
	Families *float64
	// TokensAhead and EventsAhead are how far partitions reach beyond the longest lifetime of a family, and beyond
	// today; negative where one is missing.
	TokensAhead, EventsAhead time.Duration
}

// Figures reads them from the catalogues, never from the tables.
func (s *Store) Figures(ctx context.Context) (f Figures, err error) {
	// Partitions are named after their first day and hold a week.
	const statement = `
		WITH ends AS (
		    SELECT i.inhparent AS parent, (to_date(right(c.relname, 8), 'YYYYMMDD') + 7)::timestamp AT TIME ZONE 'UTC' AS day
		      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		     WHERE i.inhparent IN ('refresh_tokens'::regclass, 'audit_events'::regclass)
		)
		SELECT clock_timestamp(),
		       (SELECT CASE WHEN c.reltuples = 0 THEN 0 ELSE c.reltuples * s.null_frac END
		          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		          LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = 'revoked_at'
		         WHERE c.oid = 'token_families'::regclass AND c.reltuples >= 0)::float8,
		       (SELECT max(day) FROM ends WHERE parent = 'refresh_tokens'::regclass) - clock_timestamp() - $1::interval,
		       (SELECT max(day) FROM ends WHERE parent = 'audit_events'::regclass) - clock_timestamp()`
	asked := time.Now()
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statement, s.maxLifetime).Scan(&f.Now, &f.Families, &f.TokensAhead, &f.EventsAhead)
	})
	if err != nil {
		return Figures{}, fmt.Errorf("read figures: %w", err)
	}
	took := time.Since(asked)
	f.ClockOffset = asked.Add(took / 2).Sub(f.Now)
	return f, nil
}
