package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"kindred/internal/store"
	"kindred/migrations"
)

func newMigrate(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database's schema up or down, or show where it stands"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "up", Short: "Apply all pending migrations; of two runners at once one waits", Args: cobra.NoArgs,
			RunE: withDatabaseURL(p, func(ctx context.Context, url string) error { return migrateUp(ctx, p, url) }),
		},
		newMigrateDown(p),
		newMigrateStatus(p),
		newMigratePlan(p),
	)
	return cmd
}

func migrateUp(ctx context.Context, p process, url string) error {
	applied := 0
	err := migrations.Up(ctx, url, func(line string) {
		applied++
		fmt.Fprintln(p.stdout, line)
	}, func(line string) { fmt.Fprintln(p.stderr, line) })
	if err == nil && applied == 0 {
		_, err = fmt.Fprintf(p.stdout, "nothing to do: the schema is at version %d\n", migrations.Latest())
	}
	return err
}

func newMigrateDown(p process) *cobra.Command {
	var discard bool
	cmd := &cobra.Command{
		Use: "down", Short: "Take back the newest migration, and with it the data of what it made", Args: cobra.NoArgs,
		RunE: withDatabaseURL(p, func(ctx context.Context, url string) error {
			st, err := openStore(p)
			if err != nil {
				return err
			}
			defer st.Close()
			if users, err := st.HasUsers(ctx); err != nil {
				return err
			} else if users && !discard {
				return &wordedError{"there are users in this database, and tables would be dropped: add --discard-data if that is meant", errRefused}
			}
			return migrations.Down(ctx, url, func(line string) { fmt.Fprintln(p.stdout, line) })
		}),
	}
	cmd.Flags().BoolVar(&discard, "discard-data", false, "do it although there are users")
	return cmd
}

func newMigrateStatus(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "List the migrations of this binary and which are applied", Args: cobra.NoArgs}
	out := newPrinter(p, cmd)
	cmd.RunE = withDatabaseURL(p, func(ctx context.Context, url string) error {
		all, err := migrations.Status(ctx, url)
		if err != nil {
			return err
		}
		list := out.list("VERSION", "FILE", "STATE")
		for _, m := range all {
			state := "pending"
			if m.Applied {
				state = "applied " + cell(&m.AppliedAt)
			}
			if err := list.add(migrationBody{m.Version, m.Name, m.Applied, someCell(m.AppliedAt)}, strconv.FormatInt(m.Version, 10), m.Name, state); err != nil {
				return err
			}
		}
		if err := list.end(); err != nil {
			return err
		}
		return tellWhatHelps(ctx, p)
	})
	return cmd
}

// tellWhatHelps says it where this binary does not work on the schema, beside what is printed.
func tellWhatHelps(ctx context.Context, p process) error {
	st, err := openStore(p)
	if err != nil {
		return err
	}
	defer st.Close()
	var schema *store.SchemaError
	if err := st.CheckReady(ctx); errors.As(err, &schema) {
		fmt.Fprintln(p.stderr, schema)
	}
	return nil
}

type migrationBody struct {
	Version   int64   `json:"version"`
	Name      string  `json:"name"`
	Applied   bool    `json:"applied"`
	AppliedAt *string `json:"appliedAt"`
}
