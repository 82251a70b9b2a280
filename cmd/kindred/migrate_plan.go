package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kindred/migrations"
)

func newMigratePlan(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what `migrate up` would run, what that locks, and who waits", Args: cobra.NoArgs,
		Long: "Shows what `migrate up` would run on this database, what it locks and whether logins and refreshes wait for it. It only reads.",
	}
	out := newPrinter(p, cmd)
	cmd.RunE = withDatabaseURL(p, func(ctx context.Context, url string) error {
		pending, builds, err := migrations.Plan(ctx, url)
		if err != nil {
			return err
		}
		for _, m := range pending {
			body := planBody{Version: &m.Version, Name: m.Name, Transaction: m.InTransaction, Locks: []lockBody{}, SQL: m.SQL}
			for _, l := range m.Locks {
				body.Locks = append(body.Locks, lockBody{l.Table, l.Mode, l.BlocksReaders(), l.BlocksWriters(), l.Long()})
			}
			if err := out.print(body, "%s\n", wordsOf(m)); err != nil {
				return err
			}
		}
		if len(builds) > 0 {
			statements := strings.Join(builds, ";\n") + ";\n"
			body := planBody{Name: "indexes", Locks: []lockBody{}, SQL: statements}
			if err := out.print(body, "indexes: one by one, beside readers and writers; for a moment each to attach them\n%s\n", indented(statements)); err != nil {
				return err
			}
		}
		if len(pending)+len(builds) == 0 && !out.json {
			_, err = fmt.Fprintf(p.stdout, "nothing to do: the schema has all that version %d needs\n", migrations.Latest())
		}
		return err
	})
	return cmd
}

func wordsOf(m migrations.Pending) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", m.Name)
	if m.InTransaction {
		b.WriteString("in one transaction\n")
	} else {
		b.WriteString("statement by statement, without a transaction; if it is cut off, run it again\n")
	}
	waits := false
	for _, l := range m.Locks {
		who, duration := "nobody waits", ""
		switch {
		case l.BlocksReaders():
			who = "readers and writers wait"
		case l.BlocksWriters():
			who = "writers wait"
		}
		if l.BlocksWriters() {
			waits, duration = true, ", for a moment"
			if l.Long() {
				duration = ", for longer the larger the table is"
			}
		}
		fmt.Fprintf(&b, "  locks %s in %s mode: %s%s\n", l.Table, l.Mode, who, duration)
	}
	if !waits {
		b.WriteString("  nobody who logs in or refreshes waits for it\n")
	}
	b.WriteString(indented(m.SQL))
	return b.String()
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

// planBody is a migration, or with the name indexes and no version what builds them afterwards.
type planBody struct {
	Version     *int64     `json:"version"`
	Name        string     `json:"name"`
	Transaction bool       `json:"transaction"`
	Locks       []lockBody `json:"locks"`
	SQL         string     `json:"sql"`
}

type lockBody struct {
	Table         string `json:"table"`
	Mode          string `json:"mode"`
	BlocksReaders bool   `json:"blocksReaders"`
	BlocksWriters bool   `json:"blocksWriters"`
	Long          bool   `json:"long"`
}
