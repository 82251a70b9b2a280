package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
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
		Example: `kindred client add phone --type public
kindred client add shop --type confidential --name "The shop" --may-introspect > shop-secret`,
		Args: cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
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
			return printSecret(p, out, client.ID, secret)
		})
	}
	cmd.Flags().StringVar((*string)(&client.Type), "type", "", "public or confidential")
	offer(cmd, "type", account.PublicClient, account.ConfidentialClient)
	cmd.Flags().StringVar(&client.Name, "name", "", "name for people; the id unless it is given")
	cmd.Flags().BoolVar(&client.MayIntrospect, "may-introspect", false, "lets a confidential client ask what any access token is worth")
	if err := cmd.MarkFlagRequired("type"); err != nil {
		panic(err) // it stands a few lines above
	}
	return cmd
}

// printSecret prints it alone on standard output, so that a script can pass it on.
func printSecret(p process, out *printer, id string, secret token.ClientSecret) error {
	if out.json {
		return out.encode(clientChange{ID: id, Secret: secret.Reveal()})
	}
	if secret.Reveal() == "" {
		return nil
	}
	fmt.Fprintln(p.stderr, "its secret, which cannot be shown again:")
	_, err := fmt.Fprintln(p.stdout, secret.Reveal())
	return err
}

// clientChange is what a change of a client did.
type clientChange struct {
	ID       string `json:"id"`
	Secret   string `json:"secret,omitempty"`
	Disabled bool   `json:"disabled,omitempty"`
}

type clientBody struct {
	ID            string  `json:"id"`
	Name          string  `json:"name"`
	Type          string  `json:"type"`
	MayIntrospect bool    `json:"mayIntrospect"`
	CreatedAt     string  `json:"createdAt"`
	DisabledAt    *string `json:"disabledAt"`
}

func newClientList(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the clients; the built-in public client kindred is always there",
		Args:  cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withClients(cmd.Context(), p, "", func(ctx context.Context, clients *auth.Service) error {
			found, err := clients.Clients(ctx)
			if err != nil {
				return err
			}
			list := out.list("ID", "TYPE", "MAY INTROSPECT", "CREATED", "DISABLED", "NAME")
			for _, c := range found {
				body := clientBody{c.ID, c.Name, string(c.Type), c.MayIntrospect, cell(&c.CreatedAt), nil}
				if !c.Enabled() {
					body.DisabledAt = someCell(*c.DisabledAt)
				}
				err := list.add(body, c.ID, body.Type, strconv.FormatBool(c.MayIntrospect), body.CreatedAt, cell(c.DisabledAt), c.Name)
				if err != nil {
					return err
				}
			}
			return list.end()
		})
	}
	return cmd
}

func newClientRotateSecret(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Give a confidential client another secret; the one before ends at once",
		Args:  cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withClients(cmd.Context(), p, args[0], func(ctx context.Context, clients *auth.Service) error {
			secret, err := clients.RotateClientSecret(ctx, byOperator(), args[0])
			if err != nil {
				return err
			}
			return printSecret(p, out, args[0], secret)
		})
	}
	return cmd
}

func newClientDisable(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable ID",
		Short: "End a client for good: nothing is accepted from it, all its sessions end",
		Args:  cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withClients(cmd.Context(), p, args[0], func(ctx context.Context, clients *auth.Service) error {
			if err := clients.DisableClient(ctx, byOperator(), args[0]); err != nil {
				return err
			}
			return out.print(clientChange{ID: args[0], Disabled: true}, "disabled %s\n", args[0])
		})
	}
	return cmd
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
		return &wordedError{fmt.Sprintf("there is no client %q", id), err}
	case errors.Is(err, auth.ErrClientExists):
		return &wordedError{fmt.Sprintf("there is a client %q already; a disabled one keeps its id", id), err}
	case errors.Is(err, auth.ErrClientDisabled):
		return &wordedError{fmt.Sprintf("client %q is disabled, which is for good", id), err}
	case errors.Is(err, auth.ErrPublicClient):
		return &wordedError{fmt.Sprintf("client %q is public: it has no secret", id), err}
	default:
		return err
	}
}
