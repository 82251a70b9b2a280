package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/httpapi"
)

func newUserList(p process) *cobra.Command {
	q := auth.UserQuery{Page: auth.Page{Limit: auth.MaxPage}}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the users by name, all of them or those asked for",
		Args:  cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error { return listUsers(ctx, out, users, q) })
	}
	cmd.Flags().StringVar(&q.Search, "search", "", "only users whose name begins so")
	cmd.Flags().StringVar(&q.Role, "role", "", "only users of that role")
	offer(cmd, "role", account.RoleUser, account.RoleAdmin)
	cmd.Flags().StringVar(&q.State, "state", "all", "enabled, disabled or all")
	offer(cmd, "state", "enabled", "disabled", "all")
	return cmd
}

// listUsers reads page by page, so that no list is too long.
func listUsers(ctx context.Context, out *printer, users *auth.Service, q auth.UserQuery) error {
	list := out.list("NAME", "ROLE", "CREATED", "DISABLED", "ID")
	for {
		page, err := users.Users(ctx, q)
		if err != nil {
			return err
		}
		for _, u := range page.Users {
			if err := list.add(httpapi.DescribeUser(u), u.Username, u.Role, cell(&u.CreatedAt), cell(u.DisabledAt), u.ID.String()); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return list.end()
		}
		q.Cursor = page.Next
	}
}

func newUserShow(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "show USER", Short: "Show a user, by name or by id", Args: cobra.ExactArgs(1)}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			user, err := users.User(ctx, args[0])
			if err != nil {
				return inWords(err, args[0])
			}
			return showUser(out, user)
		})
	}
	return cmd
}

func showUser(out *printer, u account.User) error {
	if out.json {
		return out.encode(httpapi.DescribeUser(u))
	}
	return out.fields(
		"name", u.Username, "id", u.ID.String(), "role", u.Role, "version", strconv.FormatInt(u.Version, 10), "created", cell(&u.CreatedAt),
		"password changed", cell(&u.PasswordChangedAt), "disabled", cell(u.DisabledAt),
	)
}
