package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kindred/internal/auth"
	"kindred/internal/revocation"
	"kindred/internal/store"
)

func newRestoreGuard(p process) *cobra.Command {
	var yes, moved bool
	cmd := &cobra.Command{
		Use:   "restore-guard",
		Short: "Make a restored database safe to serve from: end all sessions, access tokens and signing keys",
		Long: "A restored database has forgotten what was revoked since the backup. This ends every session, refuses every\n" +
			"access token that was issued before, and ends all signing keys; the first server makes the next one. Until it\n" +
			"has ended, servers of this database are not ready. It may be interrupted and run again.\n" +
			"With --moved it only records where the database stands, after a planned move or upgrade that lost nothing.\n" +
			"Needs only DATABASE_URL, with the role that owns the tables. More: docs/operations.md, restoring a backup.",
		Args: cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		st, err := openStore(p)
		if err != nil {
			return err
		}
		defer st.Close()
		service := auth.New(auth.Config{}, st, revocation.NewSet(time.Now), auth.Secrets{}, slog.New(slog.DiscardHandler))
		if moved {
			return recordMove(cmd.Context(), out, service)
		}
		there, err := st.Installation(cmd.Context())
		if err == nil && !yes {
			err = confirmGuard(p, there)
		}
		if err != nil {
			return err
		}
		return guardRestore(cmd.Context(), p, out, service)
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&moved, "moved", false, "end nothing: the database was moved with all that it had")
	return cmd
}

// confirmGuard asks for the name of the database, which one does not type by habit.
func confirmGuard(p process, there store.Installation) error {
	if !term.IsTerminal(int(p.stdin.Fd())) {
		return &usageError{"standard input is no terminal to ask on: add --yes if all sessions are to end"}
	}
	fmt.Fprintf(p.stderr, "Everybody will be logged out of database %s. Type its name to go on: ", there.Database)
	line, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(line) != there.Database {
		return &wordedError{"nothing was ended", errRefused}
	}
	return nil
}

func guardRestore(ctx context.Context, p process, out *printer, service *auth.Service) error {
	const step = 100_000 // families between two words
	told := 0
	guarded, err := service.GuardRestore(ctx, byOperator(), func(families int) {
		if families >= told+step {
			told = families
			fmt.Fprintf(p.stderr, "ended %d sessions so far\n", families)
		}
	})
	if err != nil {
		return fmt.Errorf("%w (ended %d signing keys and %d sessions; servers stay out until it is run again)", err, len(guarded.Keys), guarded.Families)
	}
	keys := fmt.Sprintf("ended %d signing keys; the first server makes the next one\n", len(guarded.Keys))
	if len(guarded.Keys) == 0 {
		keys = "no signing keys to end: where JWT_SECRET signs, whoever verifies by it without asking a server accepts\n" +
			"older access tokens until they expire, unless JWT_SECRET is changed\n"
	}
	return out.print(struct {
		Families     int      `json:"families"`
		Keys         []string `json:"keys"`
		TokensBefore string   `json:"tokensBefore"`
	}{guarded.Families, append([]string{}, guarded.Keys...), cell(&guarded.Before)},
		"ended %d sessions\n%saccess tokens issued before %s are refused\nservers of this database may start\n",
		guarded.Families, keys, cell(&guarded.Before))
}

func recordMove(ctx context.Context, out *printer, service *auth.Service) error {
	moved, err := service.RecordMove(ctx, byOperator())
	var elsewhere *store.InstallationError
	if errors.As(err, &elsewhere) {
		return &wordedError{elsewhere.Error(), errRefused}
	}
	if err != nil {
		return err
	}
	words := "recorded where the database stands; nothing was ended\n"
	if !moved {
		words = "the database stands where it was recorded; nothing to do\n"
	}
	return out.print(struct {
		Moved bool `json:"moved"`
	}{moved}, "%s", words)
}
