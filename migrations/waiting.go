package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Name is what sessions that migrate call themselves in pg_stat_activity.
const Name = "kindred migrate"

// patience is how often a migration is tried that somebody's lock kept out, and how long the others, who had
// to wait behind it, have for themselves in between.
type patience struct {
	tries int
	pause time.Duration
}

// run tries until it is done, fails for another reason, or was kept out as often as that. It tells waiting of
// each time but the last, with who was in the way.
func (p patience) run(ctx context.Context, db *sql.DB, waiting func(string), try func() error) error {
	for n := 1; ; n++ {
		watch := watchBlockers(ctx, db)
		err := try()
		who := watch.end()
		if !keptOut(err) {
			return err
		}
		if n == p.tries {
			return fmt.Errorf("kept out by a lock %d times; what is applied stays, so end %s or wait for it, and run it again: %w", n, who, err)
		}
		waiting(fmt.Sprintf("waited in vain for a lock that is held by %s; trying again (%d of %d)", who, n+1, p.tries))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(p.pause):
		}
	}
}

// keptOut: lock_not_available, deadlock_detected.
func keptOut(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "55P03" || pgErr.Code == "40P01")
}

// blockerWatch looks while a migration runs: once it has given up, nobody is in its way any more.
type blockerWatch struct {
	stop context.CancelFunc
	done chan struct{}
	last string
}

func watchBlockers(ctx context.Context, db *sql.DB) *blockerWatch {
	const interval = 500 * time.Millisecond
	ctx, stop := context.WithCancel(ctx)
	w := &blockerWatch{stop: stop, done: make(chan struct{}), last: "a session that was gone when we looked"}
	go func() {
		defer close(w.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(interval):
			}
			if who, err := blockers(ctx, db); err == nil && who != "" {
				w.last = who
			}
		}
	}()
	return w
}

func (w *blockerWatch) end() string {
	w.stop()
	<-w.done
	return w.last
}

// blockers names the sessions that those which migrate wait for. Of other roles' sessions PostgreSQL shows
// how old their transaction is to pg_read_all_stats only.
func blockers(ctx context.Context, db *sql.DB) (string, error) {
	const statement = `
		SELECT DISTINCT format('pid %s (%s, role %s%s)', b.pid, coalesce(nullif(b.application_name, ''), coalesce(b.backend_type, 'no name')), b.usename,
		              ', in a transaction for ' || extract(epoch FROM clock_timestamp() - b.xact_start)::bigint || ' s')
		  FROM pg_stat_activity m CROSS JOIN unnest(pg_blocking_pids(m.pid)) AS blocking (pid) JOIN pg_stat_activity b ON b.pid = blocking.pid
		 WHERE m.datname = current_database() AND m.application_name = '` + Name + `' LIMIT 5`
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return "", fmt.Errorf("ask who holds the lock: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return "", fmt.Errorf("ask who holds the lock: %w", err)
		}
		names = append(names, name)
	}
	return strings.Join(names, " and "), rows.Err()
}
