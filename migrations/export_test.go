package migrations

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// UpTo brings a database to where an older binary would have.
func UpTo(ctx context.Context, databaseURL string, version int64) error {
	return withProvider(ctx, databaseURL, func(p *goose.Provider, _ *sql.DB, _ lock.Locker) error {
		_, err := p.UpTo(ctx, version)
		return err
	})
}
