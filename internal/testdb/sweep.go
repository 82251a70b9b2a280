package testdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// The name of each of our databases tells when its process began.
const (
	namePrefix  = "kindred_test_"
	stampLayout = "20060102150405"
)

// sweep drops the databases that killed test runs left on a server that goes on living.
func sweep(ctx context.Context, url string) error {
	const longestRun = 6 * time.Hour // of a process, with a wide margin: go test ends it far earlier
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, _ := conn.Query(ctx, `
		SELECT datname FROM pg_catalog.pg_database
		 WHERE starts_with(datname, $1) AND pg_catalog.pg_get_userbyid(datdba) = current_user`, namePrefix)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for left-over databases: %w", err)
	}
	for _, name := range names {
		stamp, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "_")
		began, err := time.Parse(stampLayout, stamp)
		if err != nil || time.Since(began) < longestRun {
			continue
		}
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()); err != nil {
			return fmt.Errorf("drop a left-over database: %w", err)
		}
	}
	return nil
}
