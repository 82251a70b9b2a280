package migrations

import (
	"bufio"
	"context"
	"database/sql"
	_ "embed" // of what the migrations lock
	"fmt"
	"slices"
	"strings"
)

// locks.txt tells what each migration locks of tables that stood before it; a test holds it against what
// PostgreSQL says while they run.
//
//go:embed locks.txt
var locks string

// Lock is what a migration takes of a table that stands. It is held until the migration ends.
type Lock struct {
	Table    string
	Mode     string // as PostgreSQL's manual calls it
	Rewrites bool   // the table is written anew, as long as it is large
}

// BlocksReaders tells whether whoever reads the table waits meanwhile.
func (l Lock) BlocksReaders() bool { return l.Mode == "ACCESS EXCLUSIVE" }

// BlocksWriters tells whether whoever writes the table waits meanwhile.
func (l Lock) BlocksWriters() bool {
	return slices.Contains([]string{"SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"}, l.Mode)
}

// Long tells whether it is held for longer the larger the table is; a plain SHARE lock is that of an index
// which is not built CONCURRENTLY.
func (l Lock) Long() bool { return l.Rewrites || l.Mode == "SHARE" }

// Pending is a migration that Up would apply.
type Pending struct {
	Migration
	SQL           string
	InTransaction bool
	Locks         []Lock // of tables that this database has
}

// Plan tells what Up would do: the migrations, oldest first, and then the statements that finish indexes
// which earlier ones left to be built beside the writers. It only reads.
func Plan(ctx context.Context, databaseURL string) (pending []Pending, builds []string, err error) {
	db, err := open(databaseURL)
	if err != nil {
		return nil, nil, err
	}
	defer db.Close()
	if err := checkServerVersion(ctx, db); err != nil {
		return nil, nil, err
	}
	list, err := status(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	standing, err := tables(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range list {
		if m.Applied {
			continue
		}
		p := Pending{Migration: m}
		p.SQL, p.InTransaction = upSQL(m.Name)
		for _, lock := range locksOf(m.Version) {
			if slices.Contains(standing, lock.Table) {
				p.Locks = append(p.Locks, lock)
			}
		}
		pending = append(pending, p)
	}
	parts, err := unbuiltParts(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	for _, part := range parts {
		if part.leftover && !part.built {
			builds = append(builds, part.drop)
		}
		if !part.built {
			builds = append(builds, part.create)
		}
		builds = append(builds, part.attach)
	}
	return pending, builds, nil
}

// tables are those of the schema that migrations make theirs in.
func tables(ctx context.Context, db *sql.DB) (names []string, err error) {
	const statement = `SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')`
	var all string
	if err := db.QueryRowContext(ctx, statement).Scan(&all); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return strings.Fields(all), nil
}

// upSQL is what goose runs on the way up, without its own marks.
func upSQL(name string) (statements string, inTransaction bool) {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	inTransaction = true
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		switch strings.TrimSpace(line) {
		case "-- +goose NO TRANSACTION":
			inTransaction = false
		case "-- +goose Up", "-- +goose StatementBegin", "-- +goose StatementEnd":
		case "-- +goose Down":
			return strings.TrimSpace(b.String()) + "\n", inTransaction
		default:
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String()) + "\n", inTransaction
}

// locksOf reads lines of version, table, mode in words and perhaps "rewrites".
func locksOf(version int64) (list []Lock) {
	lines := bufio.NewScanner(strings.NewReader(locks))
	for lines.Scan() {
		number, rest, _ := strings.Cut(lines.Text(), " ")
		if number != fmt.Sprintf("%05d", version) {
			continue
		}
		table, mode, _ := strings.Cut(rest, " ")
		mode, rewrites := strings.CutSuffix(mode, " rewrites")
		list = append(list, Lock{table, mode, rewrites})
	}
	return list
}
