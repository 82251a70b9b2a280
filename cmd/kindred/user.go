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
	"kindred/internal/config"
	"kindred/internal/httpapi"
	"kindred/internal/password"
	"kindred/internal/revocation"
)

func newUser(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Add, import, list, change and delete users"}
	cmd.AddCommand(newUserAdd(p), newUserList(p), newUserShow(p), newUserSetRole(p), newUserSetPassword(p), newUserResetPassword(p),
		newUserDisable(p), newUserEnable(p), newUserDelete(p), newUserImport(p))
	return cmd
}

func newUserAdd(p process) *cobra.Command {
	var role string
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user; the password comes from a prompt or from standard input, never from the command line",
		Example: `kindred user add ana
kindred user add ci --role reader --password-stdin < /run/secrets/ci-password`,
		Args: cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		pass, err := readPassword(p, fromStdin)
		if err != nil {
			return err
		}
		return withPasswords(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			user, err := users.CreateUser(ctx, byOperator(), args[0], pass, role)
			if err != nil {
				return inWords(err, args[0])
			}
			return out.print(httpapi.DescribeUser(user), "added %s, role %s, id %s\n", user.Username, user.Role, user.ID)
		})
	}
	cmd.Flags().StringVar(&role, "role", account.RoleUser, "role of the user")
	offer(cmd, "role", account.RoleUser, account.RoleAdmin)
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func byOperator() auth.Caller { return auth.Caller{Actor: audit.ByCLI} }

// withUsers runs one use case on users. It needs DATABASE_URL and no secret: no token is made or read.
func withUsers(ctx context.Context, p process, do func(context.Context, *auth.Service) error) error {
	hasher, err := password.New(password.Config{Params: password.DefaultParams()})
	if err != nil {
		return err
	}
	return withUsersOf(ctx, p, auth.Config{}, hasher, do)
}

// withPasswords is withUsers where a password is chosen: it needs the settings of passwords too.
func withPasswords(ctx context.Context, p process, do func(context.Context, *auth.Service) error) error {
	cfg, err := config.LoadPasswords(p.settings())
	if err != nil {
		return err
	}
	var rules auth.Config
	if err := choosingPasswords(cfg, &rules); err != nil {
		return err
	}
	hasher, err := newHasher(cfg, 0)
	if err != nil {
		return err
	}
	return withUsersOf(ctx, p, rules, hasher, do)
}

func withUsersOf(ctx context.Context, p process, rules auth.Config, hasher *password.Hasher, do func(context.Context, *auth.Service) error) error {
	st, err := openStore(p)
	if err != nil {
		return err
	}
	defer st.Close()
	log := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return do(ctx, auth.New(rules, st, revocation.NewSet(time.Now), auth.Secrets{Hasher: hasher}, log))
}

func inWords(err error, name string) error {
	switch {
	case errors.Is(err, auth.ErrUserNotFound):
		return &wordedError{fmt.Sprintf("there is no user %q", name), err}
	case errors.Is(err, auth.ErrUsernameTaken):
		return &wordedError{fmt.Sprintf("there is a user %q already", name), err}
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
		return "", &usageError{"standard input is no terminal to ask for a password on: pass it in with --password-stdin"}
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
