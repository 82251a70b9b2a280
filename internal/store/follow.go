package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Follower reads the blacklist on a connection of its own, which is not one of the pool's: it listens.
type Follower struct{ conn *pgx.Conn }

// Follow connects and listens. Behind a pooler in transaction mode nothing is ever heard; whoever
// follows reads again after a while all the same.
func Follow(ctx context.Context, databaseURL string) (*Follower, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parse URL to follow revocations: %w", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // holds behind a pooler too
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to follow revocations: %w", translate(err))
	}
	if _, err := conn.Exec(ctx, `LISTEN kindred_revocations`); err != nil {
		_ = conn.Close(ctx)
		return nil, fmt.Errorf("listen for revocations: %w", translate(err))
	}
	return &Follower{conn}, nil
}

// Close ends the connection.
func (f *Follower) Close(ctx context.Context) { _ = f.conn.Close(ctx) }

// Reading is one look at the blacklist.
type Reading struct {
	Revocations []Revocation
	Now         time.Time // by the database
	Next        uint64    // where to read on: all that is older has been read, or never will be
	Keys        string    // changes when a signing key does
}

// ErrStandby: the database is a standby and may be behind by any length of time.
var ErrStandby = errors.New("database is a standby")

// Read returns what is on the blacklist since an earlier reading's Next, or all of it that still
// matters for 0, but no more than limit + 1 rows: the caller then knows that there is more than it wants.
//
// A row is read if its transaction is not older than the oldest that was under way at the last reading.
// So it may be read twice, and is never missed, in whatever order transactions commit.
func (f *Follower) Read(ctx context.Context, since uint64, limit int) (Reading, error) {
	const statement = `
		SELECT pg_is_in_recovery(), t.now, t.next, t.keys, r.kind IS NOT NULL, coalesce(r.kind, ''), r.subject, r.below, r.before, coalesce(r.until, t.now)
		  FROM (SELECT clock_timestamp() AS now, pg_snapshot_xmin(pg_current_snapshot()) AS next,
		               (SELECT md5(string_agg(concat_ws(' ', id, sign_from, retired_at, revoked_at), ',' ORDER BY id)) FROM signing_keys) AS keys) AS t
		  LEFT JOIN LATERAL (SELECT * FROM revocations WHERE xid >= $1 AND until > t.now LIMIT $2) AS r ON true`
	rows, err := f.conn.Query(ctx, statement, since, limit+1)
	if err != nil {
		return Reading{}, fmt.Errorf("read revocations: %w", translate(err))
	}
	var reading Reading
	var standby, there bool
	var keys *string
	var row nullableRevocation
	_, err = pgx.ForEachRow(rows, append([]any{&standby, &reading.Now, &reading.Next, &keys, &there}, row.fields()...), func() error {
		if there {
			reading.Revocations = append(reading.Revocations, row.revocation())
		}
		return nil
	})
	if err != nil {
		return Reading{}, fmt.Errorf("read revocations: %w", translate(err))
	}
	if standby {
		return Reading{}, ErrStandby
	}
	if keys != nil {
		reading.Keys = *keys
	}
	return reading, nil
}

// Wait returns when there is something to read, or after limit.
func (f *Follower) Wait(ctx context.Context, limit time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := f.conn.WaitForNotification(waiting)
	if err == nil || pgconn.Timeout(err) && ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("wait for revocations: %w", translate(err))
}
