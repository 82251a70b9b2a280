package migrations

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3/lock"
)

// unbuilt lists what is missing for indexes that a migration made ON ONLY the partitioned table: for each
// leaf the statements that build its part and attach it. What an interrupted run left behind is either
// whole, and only to be attached, or invalid, and to be dropped first.
const unbuilt = `
	SELECT coalesce(made.indisvalid, false), made.indexrelid IS NOT NULL,
	       format('DROP INDEX CONCURRENTLY %I.%I', space.nspname, part.name),
	       format('CREATE INDEX CONCURRENTLY %I ON %I.%I%s', part.name, space.nspname, leaf.relname,
	              substring(pg_get_indexdef(whole.indexrelid) FROM ' USING .*$')),
	       format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', space.nspname, named.relname, space.nspname, part.name)
	  FROM pg_index whole
	  JOIN pg_class named ON named.oid = whole.indexrelid AND named.relkind = 'I'
	  JOIN pg_class parent ON parent.oid = whole.indrelid
	  JOIN pg_namespace space ON space.oid = parent.relnamespace AND space.nspname = current_schema()
	  JOIN pg_inherits ON inhparent = parent.oid
	  JOIN pg_class leaf ON leaf.oid = inhrelid
	 CROSS JOIN LATERAL (SELECT leaf.relname::text || substr(named.relname::text, length(parent.relname::text) + 1) AS name) part
	  LEFT JOIN pg_index made ON made.indrelid = leaf.oid
	        AND made.indexrelid = (SELECT oid FROM pg_class WHERE relname = part.name AND relnamespace = space.oid)
	 WHERE NOT whole.indisvalid AND NOT whole.indisunique
	   AND NOT EXISTS (SELECT FROM pg_inherits attached JOIN pg_index child ON child.indexrelid = attached.inhrelid
	                    WHERE attached.inhparent = whole.indexrelid AND child.indrelid = leaf.oid)
	 ORDER BY named.relname, leaf.relname`

// part is a leaf's part of an index.
type part struct {
	built, leftover      bool
	drop, create, attach string
}

// buildIndexes builds the parts that are missing one by one, while everybody goes on to write, under the
// lock of the migrations. It may be interrupted: the next run goes on. Without parts to build it is one
// statement.
func buildIndexes(ctx context.Context, db *sql.DB, locker lock.Locker) (err error) {
	if missing, err := unbuiltParts(ctx, db); err != nil || len(missing) == 0 {
		return err
	}
	if err := locker.Lock(ctx, db); err != nil {
		return fmt.Errorf("wait for another runner: %w", err)
	}
	defer func() {
		if unlockErr := locker.Unlock(context.WithoutCancel(ctx), db); err == nil {
			err = unlockErr
		}
	}()
	missing, err := unbuiltParts(ctx, db) // another runner may have been at it
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("build indexes: %w", err)
	}
	defer conn.Close()
	for _, p := range missing {
		if err := p.build(ctx, conn); err != nil {
			return fmt.Errorf("build indexes (what is built stays; run it again): %w", err)
		}
	}
	return nil
}

func (p part) build(ctx context.Context, conn *sql.Conn) error {
	// It waits for the transactions that are under way, as long as it takes: nobody waits for it. A pooler's
	// session, which is somebody else's afterwards, is left as it is where nothing bounds it.
	const unbound = `SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout') AND setting <> '0'`
	statements := []string{unbound}
	if p.leftover && !p.built {
		statements = append(statements, p.drop)
	}
	if !p.built {
		statements = append(statements, p.create)
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	// Writers do wait for this one.
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	for _, statement := range []string{`SET LOCAL lock_timeout = '5s'`, p.attach} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func unbuiltParts(ctx context.Context, db *sql.DB) ([]part, error) {
	rows, err := db.QueryContext(ctx, unbuilt)
	if err != nil {
		return nil, fmt.Errorf("look for indexes to build: %w", err)
	}
	defer rows.Close()
	var list []part
	for rows.Next() {
		var p part
		if err := rows.Scan(&p.built, &p.leftover, &p.drop, &p.create, &p.attach); err != nil {
			return nil, fmt.Errorf("look for indexes to build: %w", err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}
