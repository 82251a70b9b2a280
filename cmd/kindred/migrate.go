package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

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
		&cobra.Command{
			Use: "status", Short: "List the migrations of this binary and which are applied", Args: cobra.NoArgs,
			RunE: withDatabaseURL(p, func(ctx context.Context, url string) error { return migrateStatus(ctx, p, url) }),
		},
	)
	return cmd
}

func migrateUp(ctx context.Context, p process, url string) error {
	applied := 0
	err := migrations.Up(ctx, url, func(line string) {
		applied++
		fmt.Fprintln(p.stdout, line)
	})
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
				return errors.New("there are users in this database, and tables would be dropped: add --discard-data if that is meant")
			}
			return migrations.Down(ctx, url, func(line string) { fmt.Fprintln(p.stdout, line) })
		}),
	}
	cmd.Flags().BoolVar(&discard, "discard-data", false, "do it although there are users")
	return cmd
}

func migrateStatus(ctx context.Context, p process, url string) error {
	list, err := migrations.Status(ctx, url)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, m := range list {
		state := "pending"
		if m.Applied {
			state = "applied " + m.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\n", m.Version, m.Name, state)
	}
	return table.Flush()
}
