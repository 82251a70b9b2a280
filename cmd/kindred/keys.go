package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
		Long:  "A key is published, then signs, then only verifies what it signed, and then is gone. Needs DATABASE_URL,\nand KEY_ENCRYPTION_KEY as the servers have it. Put -- before a KID that begins with a hyphen.",
	}
	add := func(use, short string, args int, do func(context.Context, *printer, *auth.Service, []string) error) {
		sub := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(args)}
		out := newPrinter(p, sub)
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			return withKeys(cmd.Context(), p, func(ctx context.Context, keys *auth.Service) error { return do(ctx, out, keys, args) })
		}
		cmd.AddCommand(sub)
	}
	add("list", "List the keys and where each stands", 0, listKeys)
	add("rotate", "Publish a key that takes over once every verifier can know it", 0, rotateKey)
	add("retire KID", "End a key that has a successor before its last token expires", 1, retireKey)
	add("revoke KID", "End a key that somebody else may have, on every replica at once", 1, revokeKey)
	add("reencrypt", "Encrypt all keys with KEY_ENCRYPTION_KEY, opening them with it or a previous one", 0, reencryptKeys)
	return cmd
}

func listKeys(ctx context.Context, out *printer, keys *auth.Service, _ []string) error {
	found, err := keys.SigningKeys(ctx)
	if err != nil {
		return err
	}
	list := out.list("KID", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS FROM", "VERIFIES UNTIL")
	for _, k := range found {
		err := list.add(keyBody{k.ID, string(k.Algorithm), string(k.State), cell(&k.PublishedAt), cell(&k.SignFrom), someCell(k.VerifyUntil)},
			k.ID, string(k.Algorithm), string(k.State), cell(&k.PublishedAt), cell(&k.SignFrom), cell(&k.VerifyUntil))
		if err != nil {
			return err
		}
	}
	return list.end()
}

type keyBody struct {
	ID            string  `json:"kid"`
	Algorithm     string  `json:"algorithm"`
	State         string  `json:"state"`
	PublishedAt   string  `json:"publishedAt"`
	SignsFrom     string  `json:"signsFrom"`
	VerifiesUntil *string `json:"verifiesUntil"`
}

// keyChange is what a change of one key did.
type keyChange struct {
	ID        string `json:"kid"`
	Successor string `json:"successor,omitempty"` // one that signs from now on
}

func rotateKey(ctx context.Context, out *printer, keys *auth.Service, _ []string) error {
	id, err := keys.RotateKey(ctx, byOperator())
	if err != nil {
		return err
	}
	return out.print(keyChange{ID: id}, "published %s\n", id)
}

func retireKey(ctx context.Context, out *printer, keys *auth.Service, args []string) error {
	if err := keys.RetireKey(ctx, byOperator(), args[0]); err != nil {
		return err
	}
	return out.print(keyChange{ID: args[0]}, "")
}

func revokeKey(ctx context.Context, out *printer, keys *auth.Service, args []string) error {
	successor, err := keys.RevokeKey(ctx, byOperator(), args[0])
	if err != nil {
		return err
	}
	words := ""
	if successor != "" {
		words = fmt.Sprintf("published %s, which signs from now on\n", successor)
	}
	return out.print(keyChange{args[0], successor}, "%s", words)
}

func reencryptKeys(ctx context.Context, out *printer, keys *auth.Service, _ []string) error {
	count, err := keys.ReencryptKeys(ctx, byOperator())
	if err != nil {
		return err
	}
	return out.print(struct {
		Reencrypted int `json:"reencrypted"`
	}{count}, "re-encrypted %d\n", count)
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
		return &wordedError{"KEY_ENCRYPTION_KEY is not set: access tokens are signed with JWT_SECRET, and there are no keys to care for", err}
	case errors.Is(err, auth.ErrKeyNotFound):
		return &wordedError{"no key of that id verifies access tokens; `kindred keys list` lists all", err}
	case errors.Is(err, auth.ErrKeyInUse):
		return &wordedError{"that key signs, or is to sign; `kindred keys rotate` first, or revoke it", err}
	default:
		return err
	}
}
