package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/revocation"
	"kindred/internal/token"
)

func newClient(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "client", Short: "Add, list and disable OAuth clients, and change their secrets"}
	cmd.AddCommand(newClientAdd(p), newClientList(p), newClientRotateSecret(p), newClientDisable(p))
	return cmd
}

func newClientAdd(p process) *cobra.Command {
	var client account.Client
	cmd := &cobra.Command{
		Use:   "add ID",
		Short: "Add a client; the secret of a confidential one is printed this once",
		Long: "Adds a client. A public one (an app on a device, a page) can keep no secret and names itself by its id.\n" +
			"The secret of a confidential one is printed on standard output, alone, and kept nowhere.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client.ID = args[0]
			if client.Name == "" {
				client.Name = client.ID
			}
			return withClients(cmd.Context(), p, client.ID, func(ctx context.Context, clients *auth.Service) error {
				secret, err := clients.AddClient(ctx, byOperator(), client)
				if err != nil {
					return err
				}
				fmt.Fprintf(p.stderr, "added %s, %s\n", client.ID, client.Type)
				return printSecret(p, secret)
			})
		},
	}
	cmd.Flags().StringVar((*string)(&client.Type), "type", "", "public or confidential")
	cmd.Flags().StringVar(&client.Name, "name", "", "name for people; the id unless it is given")
	cmd.Flags().BoolVar(&client.MayIntrospect, "may-introspect", false, "lets a confidential client ask what any access token is worth")
	if err := cmd.MarkFlagRequired("type"); err != nil {
		panic(err) // it stands three lines above
	}
	return cmd
}

// printSecret prints it alone on standard output, so that a script can pass it on.
func printSecret(p process, secret token.ClientSecret) error {
	if secret.Reveal() == "" {
		return nil
	}
	fmt.Fprintln(p.stderr, "its secret, which cannot be shown again:")
	_, err := fmt.Fprintln(p.stdout, secret.Reveal())
	return err
}

func newClientList(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the clients; the built-in public client kindred is always there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withClients(cmd.Context(), p, "", func(ctx context.Context, clients *auth.Service) error {
				list, err := clients.Clients(ctx)
				if err != nil {
					return err
				}
				table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tTYPE\tMAY INTROSPECT\tCREATED\tDISABLED\tNAME")
				for _, c := range list {
					disabled := ""
					if !c.Enabled() {
						disabled = c.DisabledAt.UTC().Format(time.RFC3339)
					}
					fmt.Fprintf(table, "%s\t%s\t%t\t%s\t%s\t%s\n", c.ID, c.Type, c.MayIntrospect, c.CreatedAt.UTC().Format(time.RFC3339), disabled, c.Name)
				}
				return table.Flush()
			})
		},
	}
}

func newClientRotateSecret(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Give a confidential client another secret; the one before ends at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClients(cmd.Context(), p, args[0], func(ctx context.Context, clients *auth.Service) error {
				secret, err := clients.RotateClientSecret(ctx, byOperator(), args[0])
				if err != nil {
					return err
				}
				return printSecret(p, secret)
			})
		},
	}
}

func newClientDisable(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "disable ID",
		Short: "End a client for good: nothing is accepted from it, all its sessions end",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClients(cmd.Context(), p, args[0], func(ctx context.Context, clients *auth.Service) error {
				return clients.DisableClient(ctx, byOperator(), args[0])
			})
		},
	}
}

// withClients runs one use case on clients. It needs DATABASE_URL and no secret of the server.
func withClients(ctx context.Context, p process, id string, do func(context.Context, *auth.Service) error) error {
	st, err := openStore(p)
	if err != nil {
		return err
	}
	defer st.Close()
	service := auth.New(auth.Config{}, st, revocation.NewSet(time.Now), auth.Secrets{}, slog.New(slog.DiscardHandler))
	switch err := do(ctx, service); {
	case errors.Is(err, auth.ErrClientNotFound):
		return fmt.Errorf("there is no client %q", id)
	case errors.Is(err, auth.ErrClientExists):
		return fmt.Errorf("there is a client %q already; a disabled one keeps its id", id)
	case errors.Is(err, auth.ErrClientDisabled):
		return fmt.Errorf("client %q is disabled, which is for good", id)
	case errors.Is(err, auth.ErrPublicClient):
		return fmt.Errorf("client %q is public: it has no secret", id)
	default:
		return err
	}
}
