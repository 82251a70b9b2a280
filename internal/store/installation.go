package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/family"
)

// Installation is where the database was recorded to stand, and where it finds itself.
type Installation struct {
	Database     string     // its name
	Recorded     bool       // there is a record
	Readable     bool       // this server tells its system identifier
	OtherCluster bool       // than the recorded one; false where either is not known
	OtherOID     bool       // another database of a cluster than the recorded one
	GuardBeganAt *time.Time // of a restore-guard that has not ended
	GuardedAt    *time.Time // when the last one ended
}

// InstallationError tells that nobody should be served from the database yet: it was restored, or is a copy.
type InstallationError struct{ Guarding bool }

func (e *InstallationError) Error() string {
	if e.Guarding {
		return "a restore-guard has begun on this database and not ended: run `kindred restore-guard` again"
	}
	return "this database stands elsewhere than it was recorded, as a restored backup does: run `kindred restore-guard`, " +
		"or `kindred restore-guard --moved` after a planned move or upgrade that lost nothing"
}

// Unwrap makes it ErrUnavailable to whoever asks no further: nothing was judged.
func (e *InstallationError) Unwrap() error { return ErrUnavailable }

// Trouble is an *InstallationError where nobody should be served, else nil.
func (i Installation) Trouble() error {
	switch {
	case i.GuardBeganAt != nil:
		return &InstallationError{Guarding: true}
	case !i.Recorded, i.OtherCluster, i.OtherOID:
		return &InstallationError{}
	}
	return nil
}

const installationStatement = `
	SELECT d.datname, i.recorded_at IS NOT NULL, here.identifier IS NOT NULL,
	       coalesce(i.system_identifier <> here.identifier, false), coalesce(i.database_oid <> d.oid, false),
	       i.guard_began_at, i.guarded_at
	  FROM pg_database d
	 CROSS JOIN (SELECT kindred_system_identifier() AS identifier) AS here
	  LEFT JOIN installation i ON true
	 WHERE d.datname = current_database()`

func readInstallation(ctx context.Context, conn *pgx.Conn) (i Installation, err error) {
	err = conn.QueryRow(ctx, installationStatement).Scan(&i.Database, &i.Recorded, &i.Readable, &i.OtherCluster, &i.OtherOID,
		&i.GuardBeganAt, &i.GuardedAt)
	return i, err
}

// Installation reads where the database stands.
func (s *Store) Installation(ctx context.Context) (i Installation, err error) {
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		i, err = readInstallation(ctx, conn.Conn())
		return err
	})
	if err != nil {
		return Installation{}, fmt.Errorf("read installation: %w", err)
	}
	return i, nil
}

// CheckInstallation is an *InstallationError where nobody should be served from the database. Behind a pooler
// it may be another one than that which the connections were opened to: they are then opened anew, and refused.
func (s *Store) CheckInstallation(ctx context.Context) error {
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error { return refuseElsewhere(ctx, conn.Conn()) })
	var elsewhere *InstallationError
	if errors.As(err, &elsewhere) && s.atHome {
		s.pool.Reset()
	}
	return err
}

// refuseElsewhere is asked of each new connection of a server, so that no request can be served from a database
// that waits for restore-guard. One without the record passes: its schema is too old, which is told by itself.
func refuseElsewhere(ctx context.Context, conn *pgx.Conn) error {
	i, err := readInstallation(ctx, conn)
	var pgErr *pgconn.PgError
	const undefinedTable, undefinedFunction = "42P01", "42883"
	switch {
	case errors.As(err, &pgErr) && (pgErr.Code == undefinedTable || pgErr.Code == undefinedFunction):
		return nil
	case err != nil:
		return fmt.Errorf("read installation: %w", err)
	}
	return i.Trouble()
}

// BeginGuard notes that a restore-guard is under way, unless an earlier one has not ended: it is then gone on
// with. From there on servers open no connection.
func (tx *Tx) BeginGuard(ctx context.Context) error {
	const statement = `
		INSERT INTO installation AS i (system_identifier, database_oid, recorded_at, guard_began_at)
		SELECT kindred_system_identifier(), oid, t.now, t.now
		  FROM pg_database, (SELECT clock_timestamp() AS now) AS t WHERE datname = current_database()
		    ON CONFLICT (one) DO UPDATE SET guard_began_at = coalesce(i.guard_began_at, excluded.guard_began_at)`
	if _, err := tx.tx.Exec(ctx, statement); err != nil {
		return fmt.Errorf("begin restore-guard: %w", translate(err))
	}
	return nil
}

// EndGuard records that the database stands here, guarded.
func (tx *Tx) EndGuard(ctx context.Context) error {
	const statement = `
		UPDATE installation i
		   SET system_identifier = kindred_system_identifier(), database_oid = d.oid, recorded_at = t.now,
		       guard_began_at = NULL, guarded_at = t.now
		  FROM pg_database d, (SELECT clock_timestamp() AS now) AS t WHERE d.datname = current_database()`
	if _, err := tx.changeOne(ctx, "end restore-guard", statement); err != nil {
		return err
	}
	return nil
}

// RecordMove records that the database stands here, with all that it had. moved is false where it was so
// recorded. An *InstallationError while a restore-guard has not ended.
func (tx *Tx) RecordMove(ctx context.Context) (moved bool, err error) {
	const lock = `SELECT guard_began_at IS NOT NULL FROM installation FOR UPDATE`
	const statement = `
		INSERT INTO installation AS i (system_identifier, database_oid, recorded_at)
		SELECT kindred_system_identifier(), oid, clock_timestamp() FROM pg_database WHERE datname = current_database()
		    ON CONFLICT (one) DO UPDATE
		   SET system_identifier = excluded.system_identifier, database_oid = excluded.database_oid, recorded_at = excluded.recorded_at
		 WHERE (i.system_identifier, i.database_oid) IS DISTINCT FROM (excluded.system_identifier, excluded.database_oid)`
	var guarding bool
	err = tx.tx.QueryRow(ctx, lock).Scan(&guarding)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("lock installation: %w", translate(err))
	}
	if guarding {
		return false, &InstallationError{Guarding: true}
	}
	return tx.changeOne(ctx, "record move", statement)
}

// RevokeAllTokens puts every access token on the blacklist that was issued until now, and returns the instant.
func (tx *Tx) RevokeAllTokens(ctx context.Context) (before time.Time, err error) {
	const statement = `
		INSERT INTO revocations (kind, before, until)
		SELECT 'all', t.now, t.now + $1::interval FROM (SELECT clock_timestamp() AS now) AS t
		RETURNING ` + revocationColumns
	written, err := tx.list(ctx, "revoke all access tokens", statement, MaxAccessLifetime+afterlife)
	if err != nil {
		return time.Time{}, err
	}
	return written[0].Before, nil
}

// AwaitNextSecond waits until the database's clock shows another second than at an instant: access tokens count
// their age in whole ones, and one of that second would be as old as the instant.
func (tx *Tx) AwaitNextSecond(ctx context.Context, at time.Time) error {
	const statement = `SELECT pg_sleep(greatest(0, extract(epoch FROM date_trunc('second', $1::timestamptz) + interval '1 second' - clock_timestamp())))`
	if _, err := tx.tx.Exec(ctx, statement, at); err != nil {
		return fmt.Errorf("wait for the next second: %w", translate(err))
	}
	return nil
}

// RevokeAnyFamilies ends limit families at most, whosever they are, in the order of their ids and after one of
// them, locking them in that order, and returns them; none if there were no more. Their access tokens are left to
// RevokeAllTokens. It may take as long as it takes, since servers are out: what an earlier run ended is passed over
// to the first that lives, and were that cut off as a request's statement is, no run would ever get beyond it.
func (tx *Tx) RevokeAnyFamilies(ctx context.Context, after uuid.UUID, limit int, reason family.Reason, by string) ([]uuid.UUID, error) {
	const hold = `SELECT id FROM token_families WHERE id > $1 AND revoked_at IS NULL ORDER BY id LIMIT $2 FOR UPDATE`
	// By an array, for which each family is looked up: a join of so many reads the whole table each time.
	const end = `UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = $2, revoked_by = $3 WHERE id = ANY ($1)`
	if _, err := tx.tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
		return nil, fmt.Errorf("hold families: %w", translate(err))
	}
	rows, err := tx.tx.Query(ctx, hold, after, limit)
	if err != nil {
		return nil, fmt.Errorf("hold families: %w", translate(err))
	}
	held, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("hold families: %w", translate(err))
	}
	if _, err := tx.tx.Exec(ctx, end, held, reason, by); err != nil {
		return nil, fmt.Errorf("revoke families: %w", translate(err))
	}
	return held, nil
}
