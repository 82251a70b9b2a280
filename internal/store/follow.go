package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// FollowConfig says where to read the blacklist.
type FollowConfig struct {
	URL string // of the primary
	// Listen asks to be told of what is new. A pooler in transaction mode would swallow that, and leave
	// a server's session listening that belongs to somebody else the moment after.
	Listen bool
}

// Follower reads the blacklist on a connection of its own, which is not one of the pool's: it listens.
// It serves one goroutine.
type Follower struct {
	config *pgx.ConnConfig
	listen bool
	conn   *pgx.Conn
	told   bool // since the last reading was sent
}

// NewFollower prepares a Follower without connecting. The error tells of a URL that cannot be parsed and
// may quote it: see ParseURL.
func NewFollower(config FollowConfig) (*Follower, error) {
	pc, err := pgxpool.ParseConfig(config.URL) // the same URL may have settings for the pool
	if err != nil {
		return nil, fmt.Errorf("parse URL to follow revocations: %w", err)
	}
	f := &Follower{config: pc.ConnConfig, listen: config.Listen}
	f.config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // holds behind a pooler too
	f.config.RuntimeParams["application_name"] = "kindred feed"
	// That there is something is all that is kept: by the driver's own way each notification waits in a list.
	f.config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { f.told = true }
	return f, nil
}

// Connect connects, and listens if it is to. Whoever connects again may meet another server, which has not
// seen the same transactions: reading begins at the Beginning.
func (f *Follower) Connect(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, f.config)
	if err != nil {
		return fmt.Errorf("connect to follow revocations: %w", translate(err))
	}
	f.conn = conn
	if !f.listen {
		return nil
	}
	if _, err := conn.Exec(ctx, `LISTEN kindred_revocations`); err != nil {
		f.Close(ctx)
		return fmt.Errorf("listen for revocations: %w", translate(err))
	}
	return nil
}

// Close ends the connection.
func (f *Follower) Close(ctx context.Context) { _ = f.conn.Close(ctx) }

// Beginning is where to read the whole list from: a snapshot that has seen no transaction.
const Beginning = "3:3:"

// Reading is one look at the blacklist.
type Reading struct {
	Revocations []Revocation
	Now         time.Time // by the database
	Next        string    // where to read on
	Server      string    // that answered, as Store.Server has it
	Keys        string    // changes when a signing key does, and when one is due to be gone
}

var (
	// ErrStandby: the database is a standby and may be behind by any length of time.
	ErrStandby = errors.New("database is a standby")
	// ErrWentBack: the database has seen fewer transactions than at the reading before.
	ErrWentBack = errors.New("database has lost transactions")
)

// serverColumn tells two servers apart, a standby that was promoted from its old primary too, and two
// databases of one server.
const serverColumn = `concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
	(SELECT oid FROM pg_database WHERE datname = current_database()))`

// Server names the server and the database that the Store works on.
func (s *Store) Server(ctx context.Context) (server string, err error) {
	if s.atHome {
		if err := s.CheckInstallation(ctx); err != nil {
			return "", err
		}
	}
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT `+serverColumn).Scan(&server)
	})
	if err != nil {
		return "", fmt.Errorf("identify server: %w", err)
	}
	return server, nil
}

// readStatement reads what the snapshot of an earlier reading ($1) could not see. Neither ids nor times
// follow the order of commits, but a snapshot knows which transactions were under way. So each row is read
// once, whenever its transaction commits. ORDER BY makes the index on xid good for the generic plan too.
const readStatement = `
	SELECT pg_is_in_recovery(), pg_snapshot_xmax(t.snapshot) < pg_snapshot_xmax($1::text::pg_snapshot),
	       t.now, t.snapshot::text, t.server, t.keys,
	       r.kind IS NOT NULL, coalesce(r.kind, ''), r.subject, r.below, r.before, coalesce(r.until, t.now)
	  FROM (SELECT clock_timestamp() AS now, pg_current_snapshot() AS snapshot, ` + serverColumn + ` AS server,
	               coalesce(` + keysDigest + `, '') AS keys) AS t
	  LEFT JOIN LATERAL (
	       SELECT * FROM revocations
	        WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot) AND until > t.now
	        ORDER BY xid LIMIT $2) AS r ON true`

// Read returns what has come to the blacklist since an earlier reading, by its Next, or from the Beginning
// all of it that still matters; but no more than limit + 1 rows: the caller then knows that there is more
// than it wants. ErrStandby and ErrWentBack tell of databases that cannot vouch for the list.
func (f *Follower) Read(ctx context.Context, since string, limit int) (Reading, error) {
	f.told = false
	rows, err := f.conn.Query(ctx, readStatement, since, limit+1, KeyAfterlife)
	if err != nil {
		return Reading{}, fmt.Errorf("read revocations: %w", translate(err))
	}
	var reading Reading
	var standby, wentBack, there bool
	var row nullableRevocation
	fields := append([]any{&standby, &wentBack, &reading.Now, &reading.Next, &reading.Server, &reading.Keys, &there}, row.fields()...)
	_, err = pgx.ForEachRow(rows, fields, func() error {
		if there {
			reading.Revocations = append(reading.Revocations, row.revocation())
		}
		return nil
	})
	switch {
	case err != nil:
		return Reading{}, fmt.Errorf("read revocations: %w", translate(err))
	case standby:
		return Reading{}, ErrStandby
	case wentBack:
		return Reading{}, ErrWentBack
	}
	return reading, nil
}

// Wait returns when there is something to read that the last reading may have missed, or after limit.
func (f *Follower) Wait(ctx context.Context, limit time.Duration) error {
	if f.told {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f.conn.PgConn().WaitForNotification(waiting)
	if err == nil || pgconn.Timeout(err) && ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("wait for revocations: %w", translate(err))
}
