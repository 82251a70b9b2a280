package devdb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// adopt takes the database at the address, if it is empty or bears our mark. Nothing in it is changed
// before that is certain: development must be unable to harm production.
func adopt(ctx context.Context, url string) (*Server, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read DATABASE_URL: %w", err) // pgx leaves the password out
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("reach the database of DATABASE_URL: %w", err)
	}
	defer conn.Close(ctx)
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return markIfEmpty(ctx, tx) }); err != nil {
		return nil, err
	}
	return &Server{
		url:    url,
		where:  fmt.Sprintf("database %s on %s:%d, from DATABASE_URL", config.Database, config.Host, config.Port),
		failed: make(chan struct{}), // its end is not ours to notice
		stop:   func(context.Context) error { return nil },
	}, nil
}

// markIfEmpty leaves the database marked, or returns ErrNotOurs and leaves it as it is. Of two at
// once the second waits for the first and finds its mark.
func markIfEmpty(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('kindred dev', 0))"); err != nil {
		return fmt.Errorf("inspect the database of DATABASE_URL: %w", err)
	}
	marked, err := ask(ctx, tx, "SELECT pg_catalog.to_regclass('kindred_dev.mark') IS NOT NULL")
	if err != nil {
		return err
	}
	if marked {
		// A dump takes the mark along: restored elsewhere, over production say, it must not count.
		here, err := ask(ctx, tx, `
			SELECT EXISTS (SELECT FROM kindred_dev.mark m, pg_catalog.pg_control_system() s
			                WHERE m.system_identifier = s.system_identifier AND m.database = pg_catalog.current_database())`)
		if err != nil {
			return err
		}
		if !here {
			return fmt.Errorf("%w: its mark was made for another database", ErrNotOurs)
		}
		return nil
	}
	occupied, err := ask(ctx, tx, occupiedSQL)
	if err != nil {
		return err
	}
	if occupied {
		return ErrNotOurs
	}
	return mark(ctx, tx)
}

// occupiedSQL looks for anything that a person or program made in this database. PostgreSQL gives
// numbers below 16384 to what it makes itself. What belongs to an extension came with the server, or
// with a CREATE EXTENSION that holds no data; other sessions' temporary tables go with them.
const occupiedSQL = `
	WITH made AS (
	    SELECT 'pg_catalog.pg_namespace'::regclass AS catalog, oid FROM pg_catalog.pg_namespace
	     WHERE nspname !~ '^pg_(toast_)?temp_'
	    UNION ALL
	    SELECT 'pg_catalog.pg_class'::regclass, oid FROM pg_catalog.pg_class WHERE relpersistence <> 't'
	    UNION ALL
	    SELECT 'pg_catalog.pg_proc'::regclass, oid FROM pg_catalog.pg_proc
	     WHERE pronamespace::regnamespace::text !~ '^pg_(toast_)?temp_'
	    UNION ALL
	    SELECT 'pg_catalog.pg_type'::regclass, oid FROM pg_catalog.pg_type
	     WHERE typnamespace::regnamespace::text !~ '^pg_(toast_)?temp_'
	    UNION ALL
	    SELECT 'pg_catalog.pg_largeobject_metadata'::regclass, oid FROM pg_catalog.pg_largeobject_metadata
	)
	SELECT EXISTS (
	    SELECT FROM made
	     WHERE made.oid >= 16384
	       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
	                        WHERE d.classid = made.catalog AND d.objid = made.oid AND d.deptype = 'e'))`

func ask(ctx context.Context, tx pgx.Tx, question string) (yes bool, err error) {
	if err := tx.QueryRow(ctx, question).Scan(&yes); err != nil {
		return false, fmt.Errorf("inspect the database of DATABASE_URL: %w", err)
	}
	return yes, nil
}

func mark(ctx context.Context, tx pgx.Tx) error {
	const sql = `
		CREATE SCHEMA kindred_dev;
		COMMENT ON SCHEMA kindred_dev IS 'this database was empty when kindred dev was given it, and is its own since';
		CREATE TABLE kindred_dev.mark (system_identifier bigint NOT NULL, database name NOT NULL);
		INSERT INTO kindred_dev.mark (system_identifier, database)
		SELECT system_identifier, pg_catalog.current_database() FROM pg_catalog.pg_control_system();`
	if _, err := tx.Exec(ctx, sql); err != nil {
		return fmt.Errorf("mark the database of DATABASE_URL as dev's own: %w", err)
	}
	return nil
}
