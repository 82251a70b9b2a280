package migrations

import (
	"context"
	"database/sql"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// UpWithin is Up with another patience.
func UpWithin(ctx context.Context, databaseURL string, tries int, pause time.Duration, log, waiting func(string)) error {
	return up(ctx, databaseURL, patience{tries, pause}, log, waiting)
}

// UpTo brings a database to where an older binary would have.
func UpTo(ctx context.Context, databaseURL string, version int64) error {
	return withProvider(ctx, databaseURL, func(p *goose.Provider, _ *sql.DB, _ lock.Locker) error {
		_, err := p.UpTo(ctx, version)
		return err
	})
}

// UpSQL is what a migration runs.
func UpSQL(name string) (statements string, inTransaction bool) { return upSQL(name) }
