package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/auth"
	"kindred/internal/config"
	"kindred/internal/revocation"
	"kindred/internal/token"
)

func newKeys(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "List, rotate, retire and revoke the keys that sign access tokens",
		Long:  "A key is published, then signs, then only verifies what it signed, and then is gone. Needs DATABASE_URL,\nand KEY_ENCRYPTION_KEY as the servers have it.",
	}
	byID := func(use, short string, do func(*auth.Service, context.Context, auth.Caller, string) error) *cobra.Command {
		return &cobra.Command{Use: use + " KID", Short: short, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return withKeys(cmd.Context(), p, func(ctx context.Context, keys *auth.Service) error {
				return do(keys, ctx, byOperator(), args[0])
			})
		}}
	}
	plain := func(use, short string, do func(context.Context, *auth.Service) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return withKeys(cmd.Context(), p, do)
		}}
	}
	cmd.AddCommand(
		plain("list", "List the keys and where each stands", func(ctx context.Context, keys *auth.Service) error { return listKeys(ctx, p, keys) }),
		plain("rotate", "Publish a key that takes over once every verifier can know it", func(ctx context.Context, keys *auth.Service) error {
			id, err := keys.RotateKey(ctx, byOperator())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, "published", id)
			return err
		}),
		byID("retire", "End a key that has a successor before its last token expires", (*auth.Service).RetireKey),
		byID("revoke", "End a key that somebody else may have, on every replica at once", func(keys *auth.Service, ctx context.Context, caller auth.Caller, id string) error {
			successor, err := keys.RevokeKey(ctx, caller, id)
			if err != nil || successor == "" {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "published %s, which signs from now on\n", successor)
			return err
		}),
		plain("reencrypt", "Encrypt all keys with KEY_ENCRYPTION_KEY, opening them with it or a previous one", func(ctx context.Context, keys *auth.Service) error {
			count, err := keys.ReencryptKeys(ctx, byOperator())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, "re-encrypted", count)
			return err
		}),
	)
	return cmd
}

func listKeys(ctx context.Context, p process, keys *auth.Service) error {
	list, err := keys.SigningKeys(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KID\tALGORITHM\tSTATE\tPUBLISHED\tSIGNS FROM\tVERIFIES UNTIL")
	for _, k := range list {
		until := ""
		if !k.VerifyUntil.IsZero() {
			until = k.VerifyUntil.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Algorithm, k.State,
			k.PublishedAt.UTC().Format(time.RFC3339), k.SignFrom.UTC().Format(time.RFC3339), until)
	}
	return table.Flush()
}

// withKeys runs one use case on signing keys.
func withKeys(ctx context.Context, p process, do func(context.Context, *auth.Service) error) error {
	cfg, err := config.LoadKeys(p.settings())
	if err != nil {
		return err
	}
	box, err := newKeyBox(cfg.KeyEncryptionKey, cfg.KeyEncryptionKeyPrevious)
	if err != nil {
		return err
	}
	st, err := openStore(p)
	if err != nil {
		return err
	}
	defer st.Close()
	service := auth.New(auth.Config{SigningAlgorithm: token.Algorithm(cfg.SigningAlgorithm)}, st, revocation.NewSet(time.Now),
		auth.Secrets{Keys: token.NewKeys(), KeyBox: box}, slog.New(slog.DiscardHandler))
	switch err := do(ctx, service); {
	case errors.Is(err, auth.ErrNoKeyBox):
		return errors.New("KEY_ENCRYPTION_KEY is not set: access tokens are signed with JWT_SECRET, and there are no keys to care for")
	case errors.Is(err, auth.ErrKeyNotFound):
		return errors.New("no key of that id verifies access tokens; `kindred keys list` lists all")
	case errors.Is(err, auth.ErrKeyInUse):
		return errors.New("that key signs, or is to sign; `kindred keys rotate` first, or revoke it")
	default:
		return err
	}
}
