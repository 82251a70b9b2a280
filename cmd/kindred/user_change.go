package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/httpapi"
)

// change is a command that changes a user.
type change struct {
	use, short, long string
	args             int
	do               func(ctx context.Context, users *auth.Service, id string, args []string) error
	done             string                                                                           // a verb
	with             func(context.Context, process, func(context.Context, *auth.Service) error) error // nil: withUsers
}

// newUserChange makes a command of a change. It looks the user up once, so that whatever becomes of the name
// meanwhile, the one changed is the one found; with --json it prints the user as it is then.
func newUserChange(p process, c change) *cobra.Command {
	cmd := &cobra.Command{Use: c.use, Short: c.short, Long: c.long, Args: cobra.ExactArgs(c.args)}
	out := newPrinter(p, cmd)
	with := c.with
	if with == nil {
		with = withUsers
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return with(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			return changeUser(ctx, out, users, c, args)
		})
	}
	return cmd
}

func changeUser(ctx context.Context, out *printer, users *auth.Service, c change, args []string) error {
	user, err := users.User(ctx, args[0])
	if err == nil {
		err = c.do(ctx, users, user.ID.String(), args[1:])
	}
	if err == nil && out.json {
		user, err = users.User(ctx, user.ID.String())
	}
	if err != nil {
		return inWords(err, args[0])
	}
	return out.print(httpapi.DescribeUser(user), "%s %s\n", c.done, user.Username)
}

func newUserSetRole(p process) *cobra.Command {
	cmd := newUserChange(p, change{
		use: "set-role USER ROLE", short: "Give a user another role; sessions go on with it", args: 2, done: "changed the role of",
		do: func(ctx context.Context, users *auth.Service, id string, args []string) error {
			return users.SetRole(ctx, byOperator(), id, args[0])
		},
	})
	offerArgument(cmd, 1, account.RoleUser, account.RoleAdmin)
	return cmd
}

func newUserDisable(p process) *cobra.Command {
	return newUserChange(p, change{
		use: "disable USER", short: "Shut a user out at once: no login, no refresh, all sessions ended", args: 1, done: "disabled",
		do: func(ctx context.Context, users *auth.Service, id string, _ []string) error {
			return users.DisableUser(ctx, byOperator(), id)
		},
	})
}

func newUserEnable(p process) *cobra.Command {
	return newUserChange(p, change{
		use: "enable USER", short: "Let a disabled user log in again", args: 1, done: "enabled",
		do: func(ctx context.Context, users *auth.Service, id string, _ []string) error {
			return users.EnableUser(ctx, byOperator(), id)
		},
	})
}

func newUserDelete(p process) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete USER",
		Short: "Delete a user for good: all sessions end, the name is free again",
		Args:  cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			user, err := users.User(ctx, args[0])
			if err == nil && !yes {
				err = confirmDelete(p, user)
			}
			if err == nil {
				err = users.DeleteUser(ctx, byOperator(), user.ID.String())
			}
			if err != nil {
				return inWords(err, args[0])
			}
			return out.print(struct {
				ID       string `json:"id"`
				Username string `json:"username"`
				Deleted  bool   `json:"deleted"`
			}{user.ID.String(), user.Username, true}, "deleted %s\n", user.Username)
		})
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirmDelete asks for the name, which one does not type by habit.
func confirmDelete(p process, user account.User) error {
	if !term.IsTerminal(int(p.stdin.Fd())) {
		return &usageError{"standard input is no terminal to ask on: add --yes if the user is to be deleted"}
	}
	fmt.Fprintf(p.stderr, "Delete %s (id %s, role %s) for good? Type the name to go on: ", user.Username, user.ID, user.Role)
	line, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(line) != user.Username {
		return &wordedError{"nothing was deleted", errRefused}
	}
	return nil
}
