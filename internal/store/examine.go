package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Server is what there is to know of the database's server and of our role there.
type Server struct {
	Version             string
	VersionNumber       int
	Role                string
	Superuser, Owner    bool // Owner: of the tables, itself or by membership
	Standby, ReadOnly   bool
	Fsync, FullPages    bool
	SynchronousCommit   string
	SynchronousStandbys string
	Encrypted, Distant  bool // of this connection: by TLS; from another machine
}

// Examine reads it.
func (s *Store) Examine(ctx context.Context) (server Server, err error) {
	const statement = `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user,
		       current_setting('is_superuser')::boolean,
		       coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('token_families')), false),
		       pg_is_in_recovery(), current_setting('transaction_read_only')::boolean,
		       current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean,
		       current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
		       coalesce(NOT inet_client_addr() <<= '127.0.0.0/8' AND inet_client_addr() <> '::1' AND inet_client_addr() <> inet_server_addr(), false)`
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statement).Scan(&server.Version, &server.VersionNumber, &server.Role, &server.Superuser, &server.Owner,
			&server.Standby, &server.ReadOnly, &server.Fsync, &server.FullPages, &server.SynchronousCommit, &server.SynchronousStandbys,
			&server.Encrypted, &server.Distant)
	})
	if err != nil {
		return Server{}, fmt.Errorf("examine server: %w", err)
	}
	return server, nil
}

// LackingGrants names what our role must be able to do to serve, and cannot. What is not there at all is not
// named: the schema is then too old.
func (s *Store) LackingGrants(ctx context.Context) (lacking []string, err error) {
	const statement = `
		SELECT word FROM (
		    SELECT format('%s on %s', privilege, name) AS word FROM (VALUES
		        ('users', 'SELECT'), ('users', 'INSERT'), ('users', 'UPDATE'),
		        ('token_families', 'SELECT'), ('token_families', 'INSERT'), ('token_families', 'UPDATE'), ('token_families', 'DELETE'),
		        ('refresh_tokens', 'SELECT'), ('refresh_tokens', 'INSERT'),
		        ('audit_events', 'SELECT'), ('audit_events', 'INSERT'),
		        ('revocations', 'SELECT'), ('revocations', 'INSERT'), ('revocations', 'DELETE'),
		        ('signing_keys', 'SELECT'), ('signing_keys', 'INSERT'), ('signing_keys', 'UPDATE'),
		        ('clients', 'SELECT'), ('clients', 'UPDATE'),
		        ('throttle', 'SELECT'), ('throttle', 'INSERT'), ('throttle', 'UPDATE'), ('throttle', 'DELETE'),
		        ('password_resets', 'SELECT'), ('password_resets', 'INSERT'), ('password_resets', 'UPDATE'), ('password_resets', 'DELETE'),
		        ('installation', 'SELECT'), ('goose_db_version', 'SELECT')) AS needed (name, privilege)
		     WHERE NOT (has_table_privilege(to_regclass(name), privilege)
		                OR privilege <> 'DELETE' AND has_any_column_privilege(to_regclass(name), privilege))
		    UNION ALL
		    SELECT format('EXECUTE on %s', proname) FROM pg_proc
		     WHERE proname = ANY ($1) AND NOT has_function_privilege(oid, 'EXECUTE')
		    UNION ALL
		    SELECT format('the owner''s rights within %s', proname) FROM pg_proc
		     WHERE proname = ANY ($2) AND NOT prosecdef
		       AND NOT (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('token_families'))) AS words
		 ORDER BY word`
	makers := []string{"kindred_ensure_partitions", "kindred_drop_past_partition"}
	called := append([]string{"kindred_system_identifier"}, makers...)
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, statement, called, makers)
		if err != nil {
			return err
		}
		lacking, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read grants: %w", err)
	}
	return lacking, nil
}

// ClockOffset tells how far the database's clock is ahead of ours, from the quickest of a few exchanges, and how
// long that one took: the offset is known no better than by half of it.
func (s *Store) ClockOffset(ctx context.Context) (offset, roundTrip time.Duration, err error) {
	const exchanges = 5
	for range exchanges {
		began := time.Now()
		now, err := s.Now(ctx)
		if err != nil {
			return 0, 0, err
		}
		took := time.Since(began)
		if roundTrip == 0 || took < roundTrip {
			roundTrip, offset = took, now.Sub(began.Add(took/2))
		}
	}
	return offset, roundTrip, nil
}

// PartitionsUntil tells the day that each partitioned table has partitions before, and today, by the database.
func (s *Store) PartitionsUntil(ctx context.Context) (tokens, events, today time.Time, err error) {
	const statement = `
		SELECT (SELECT max(to_date(right(c.relname, 8), 'YYYYMMDD') + 7) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		         WHERE i.inhparent = 'refresh_tokens'::regclass),
		       (SELECT max(to_date(right(c.relname, 8), 'YYYYMMDD') + 7) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		         WHERE i.inhparent = 'audit_events'::regclass),
		       (clock_timestamp() AT TIME ZONE 'UTC')::date`
	var lastTokens, lastEvents *time.Time
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statement).Scan(&lastTokens, &lastEvents, &today)
	})
	if err != nil {
		return time.Time{}, time.Time{}, time.Time{}, fmt.Errorf("read partitions: %w", err)
	}
	if lastTokens != nil {
		tokens = *lastTokens
	}
	if lastEvents != nil {
		events = *lastEvents
	}
	return tokens, events, today, nil
}

// Hears tells how long it takes until a follower of config is told of what the Store's database notifies: as good
// as at once, or not within limit, as behind a pooler. sameServer is false where it reads another one.
func (s *Store) Hears(ctx context.Context, config FollowConfig, limit time.Duration) (after time.Duration, sameServer bool, err error) {
	f, err := NewFollower(config)
	if err != nil {
		return 0, false, err
	}
	if err := f.Connect(ctx); err != nil {
		return 0, false, err
	}
	defer f.Close(context.WithoutCancel(ctx))
	reading, err := f.Read(ctx, Beginning, 0)
	if err != nil {
		return 0, false, err
	}
	server, err := s.Server(ctx)
	if err != nil || server != reading.Server {
		return 0, false, err
	}
	began := time.Now()
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_notify('kindred_revocations', '')`)
		return err
	})
	if err != nil {
		return 0, true, fmt.Errorf("notify: %w", err)
	}
	if err := f.Wait(ctx, limit); err != nil {
		return 0, true, err
	}
	return time.Since(began), true, nil
}
