// Package migrations holds Kindred's schema as numbered SQL files and applies them with goose.
//
// Operators run it, with `kindred migrate`; serving never does. A file that has landed is never
// edited: the next change is the next file.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// VersionTable is where the applied versions stand, under goose's own name so that operators know it.
const VersionTable = goose.DefaultTablename

// MinServerVersion is the oldest PostgreSQL that the schema needs, as server_version_num has it:
// the one chain a family rests on UNIQUE NULLS NOT DISTINCT, which came with PostgreSQL 15.
const MinServerVersion = 150000

// Migration is one file and whether the database has it.
type Migration struct {
	Version   int64
	Name      string
	Applied   bool
	AppliedAt time.Time // zero while pending
}

// Latest returns the version of the newest migration in this binary.
func Latest() int64 {
	names := fileNames()
	return versionOf(names[len(names)-1])
}

// fileNames lists the migrations, oldest first: their numbers have leading zeros.
func fileNames() []string {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	return names
}

func versionOf(name string) int64 {
	number, _, _ := strings.Cut(name, "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("migration %s does not begin with its number", name))
	}
	return version
}

// Up applies what is pending, each file in a transaction of its own, and tells log of each; then it builds
// the indexes that these left to be built beside the writers. Of two runners at once one applies and the
// other waits; the lock is a row with a lease, so that it holds behind a transaction pooler too, where a
// session's advisory lock leaks, and does not outlive by much a runner that was killed.
//
// No migration waits for a table's lock for more than 5 s, since all others wait behind it. One that was kept
// out is tried again; waiting is told of that.
func Up(ctx context.Context, databaseURL string, log, waiting func(string)) error {
	return up(ctx, databaseURL, patience{tries: 6, pause: 3 * time.Second}, log, waiting)
}

func up(ctx context.Context, databaseURL string, p patience, log, waiting func(string)) error {
	return withProvider(ctx, databaseURL, func(provider *goose.Provider, db *sql.DB, locker lock.Locker) error {
		return p.run(ctx, db, waiting, func() error {
			results, err := provider.Up(ctx)
			report(results, log)
			var partial *goose.PartialError
			if errors.As(err, &partial) {
				report(partial.Applied, log)
			}
			if err != nil {
				return fmt.Errorf("migrate up: %w", err)
			}
			return buildIndexes(ctx, db, locker)
		})
	})
}

// Down takes back the newest applied migration, and with it the data of what it had made.
func Down(ctx context.Context, databaseURL string, log func(string)) error {
	return withProvider(ctx, databaseURL, func(p *goose.Provider, _ *sql.DB, _ lock.Locker) error {
		result, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			log("nothing to take back")
			return nil
		}
		if err != nil {
			return fmt.Errorf("migrate down: %w", err)
		}
		report([]*goose.MigrationResult{result}, log)
		return nil
	})
}

// Status lists all migrations of this binary, oldest first. It only reads, so that any role may ask, also while
// somebody migrates.
func Status(ctx context.Context, databaseURL string) ([]Migration, error) {
	db, err := open(databaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := checkServerVersion(ctx, db); err != nil {
		return nil, err
	}
	return status(ctx, db)
}

func status(ctx context.Context, db *sql.DB) ([]Migration, error) {
	appliedAt, err := applied(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("read migration status: %w", err)
	}
	var list []Migration
	for _, name := range fileNames() {
		m := Migration{Version: versionOf(name), Name: name}
		m.AppliedAt, m.Applied = appliedAt[m.Version]
		list = append(list, m)
	}
	return list, nil
}

func applied(ctx context.Context, db *sql.DB) (map[int64]time.Time, error) {
	const exists = `SELECT to_regclass('` + VersionTable + `') IS NOT NULL`
	const statement = `SELECT version_id, tstamp FROM ` + VersionTable + ` WHERE is_applied ORDER BY id`
	var exist bool
	if err := db.QueryRowContext(ctx, exists).Scan(&exist); err != nil || !exist {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	at := map[int64]time.Time{}
	for rows.Next() {
		var version int64
		var when time.Time
		if err := rows.Scan(&version, &when); err != nil {
			return nil, err
		}
		at[version] = when
	}
	return at, rows.Err()
}

func withProvider(ctx context.Context, databaseURL string, do func(*goose.Provider, *sql.DB, lock.Locker) error) error {
	db, err := open(databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := checkServerVersion(ctx, db); err != nil {
		return err
	}
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableLockTimeout(time.Second, 300),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("prepare migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithLocker(locker), goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	return do(provider, db, locker)
}

func open(databaseURL string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err) // pgx redacts the password
	}
	// cache_describe names no prepared statement, so that it works through a transaction pooler.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	config.RuntimeParams["application_name"] = Name
	return stdlib.OpenDB(*config), nil
}

func checkServerVersion(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return fmt.Errorf("reach database: %w", err)
	}
	if version < MinServerVersion {
		return fmt.Errorf("PostgreSQL %d is too old: Kindred needs %d or newer", version/10000, MinServerVersion/10000)
	}
	return nil
}

func report(results []*goose.MigrationResult, log func(string)) {
	for _, r := range results {
		if r != nil && r.Error == nil {
			log(fmt.Sprintf("%s %s (%d ms)", r.Direction, path.Base(r.Source.Path), r.Duration.Milliseconds()))
		}
	}
}
