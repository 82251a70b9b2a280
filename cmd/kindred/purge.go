package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/auth"
	"kindred/internal/config"
	"kindred/internal/revocation"
)

func newPurge(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Delete what has ended, as serve does by itself each hour",
		Long: "Makes the partitions that are missing ahead of need, deletes sessions a day after their absolute expiry,\n" +
			"drops their tokens by the week, and audit events older than AUDIT_RETENTION. It blocks nobody and may be\n" +
			"ended at any moment. While a server is at it, it does nothing and says so.",
		Args: cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lifetime, retention, err := config.LoadPurge(p.settings())
		if err != nil {
			return err
		}
		purged, err := purge(cmd.Context(), p, lifetime, retention)
		if err != nil {
			return err
		}
		goesOn := ""
		if purged.Busy {
			goesOn = "; a server or another command purges, and goes on"
		}
		return out.print(struct {
			Families   int      `json:"families"`
			Partitions []string `json:"partitions"`
			InUse      int      `json:"inUse"`
			Busy       bool     `json:"busy"`
		}{purged.Families, append([]string{}, purged.Partitions...), purged.InUse, purged.Busy},
			"deleted %d sessions, dropped %d partitions %s; left for the next time, since they are in use: %d%s\n",
			purged.Families, len(purged.Partitions), strings.Join(purged.Partitions, " "), purged.InUse, goesOn)
	}
	return cmd
}

func purge(ctx context.Context, p process, lifetime, retention time.Duration) (auth.Purged, error) {
	st, err := openStoreFor(p, lifetime)
	if err != nil {
		return auth.Purged{}, err
	}
	defer st.Close()
	service := auth.New(auth.Config{AuditRetention: retention}, st, revocation.NewSet(time.Now), auth.Secrets{}, slog.New(slog.DiscardHandler))
	purged, err := service.Purge(ctx, byOperator())
	if err != nil {
		return purged, fmt.Errorf("%w (deleted %d sessions and dropped %d partitions before)", err, purged.Families, len(purged.Partitions))
	}
	return purged, nil
}
