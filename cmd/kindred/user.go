package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/password"
	"kindred/internal/revocation"
)

func newUser(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Add, disable and enable users"}
	cmd.AddCommand(newUserAdd(p), newUserDisable(p), newUserEnable(p))
	return cmd
}

func newUserAdd(p process) *cobra.Command {
	var role string
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user; the password comes from a prompt or from standard input, never from the command line",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pass, err := readPassword(p, fromStdin)
			if err != nil {
				return err
			}
			return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
				user, err := users.CreateUser(ctx, byOperator(), args[0], pass, role)
				if err != nil {
					return inWords(err, args[0])
				}
				_, err = fmt.Fprintf(p.stdout, "added %s, role %s, id %s\n", user.Username, user.Role, user.ID)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", account.RoleUser, "role of the user")
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func newUserDisable(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "disable NAME",
		Short: "Shut a user out at once: no login, no refresh, all sessions ended",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
				return inWords(users.DisableUser(ctx, byOperator(), args[0]), args[0])
			})
		},
	}
}

func newUserEnable(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "enable NAME",
		Short: "Let a disabled user log in again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
				return inWords(users.EnableUser(ctx, byOperator(), args[0]), args[0])
			})
		},
	}
}

func byOperator() auth.Caller { return auth.Caller{Actor: audit.ByCLI} }

// withUsers runs one use case on users. It needs DATABASE_URL and no secret: no token is made or read.
func withUsers(ctx context.Context, p process, do func(context.Context, *auth.Service) error) error {
	st, err := openStore(p)
	if err != nil {
		return err
	}
	defer st.Close()
	hasher, err := password.New(password.Config{Params: password.DefaultParams()})
	if err != nil {
		return err
	}
	return do(ctx, auth.New(auth.Config{}, st, revocation.NewSet(time.Now), auth.Secrets{Hasher: hasher}, slog.New(slog.DiscardHandler)))
}

func inWords(err error, name string) error {
	switch {
	case errors.Is(err, auth.ErrUserNotFound):
		return fmt.Errorf("there is no user %q", name)
	case errors.Is(err, auth.ErrUsernameTaken):
		return fmt.Errorf("there is a user %q already", name)
	default:
		return err
	}
}

// readPassword takes the whole of standard input without the line break at its end, or asks twice.
func readPassword(p process, fromStdin bool) (string, error) {
	const maxBytes = 64 << 10
	if fromStdin {
		text, err := io.ReadAll(io.LimitReader(p.stdin, maxBytes))
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
	}
	descriptor := int(p.stdin.Fd())
	if !term.IsTerminal(descriptor) {
		return "", errors.New("standard input is no terminal to ask for a password on: pass it in with --password-stdin")
	}
	ask := func(question string) (string, error) {
		fmt.Fprint(p.stderr, question)
		text, err := term.ReadPassword(descriptor)
		fmt.Fprintln(p.stderr)
		return string(text), err
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	second, err := ask("Once more: ")
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return first, nil
}
