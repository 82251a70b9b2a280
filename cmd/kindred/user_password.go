package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kindred/internal/auth"
	"kindred/internal/config"
	"kindred/internal/httpapi"
)

func newUserSetPassword(p process) *cobra.Command {
	var fromStdin bool
	var pass string
	cmd := newUserChange(p, change{
		with: withPasswords, use: "set-password USER", short: "Give a user another password and end all its sessions", args: 1, done: "changed the password of",
		long: "Gives a user another password and ends all its sessions. The password comes from a prompt or from standard\n" +
			"input, never from the command line. Where the user can be reached, `kindred user reset-password` is better:\n" +
			"nobody else then knows the password.",
		do: func(ctx context.Context, users *auth.Service, id string, _ []string) error {
			return users.SetPassword(ctx, byOperator(), id, pass)
		},
	})
	// Before the database is asked for anything: a person at a prompt holds no connection.
	body := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if pass, err = readPassword(p, fromStdin); err != nil {
			return err
		}
		return body(cmd, args)
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func newUserResetPassword(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset-password USER",
		Short: "Make a link by which a user chooses another password; it is printed this once",
		Long: "Makes a link that works once. It is printed on standard output, alone, and replaces one made before. Whoever\n" +
			"has it becomes the user: pass it on over a way that only the user reads. Needs PUBLIC_URL as the servers have it.",
		Args: cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		url, err := config.LoadPublicURL(p.settings())
		if err != nil {
			return err
		}
		return withUsersOf(cmd.Context(), p, auth.Config{PublicURL: url}, nil, func(ctx context.Context, users *auth.Service) error {
			link, err := users.MakeResetLink(ctx, byOperator(), args[0])
			if err != nil {
				return inWords(err, args[0])
			}
			body := httpapi.DescribeResetLink(link)
			if !out.json {
				fmt.Fprintf(p.stderr, "a link for %s, until %s:\n", link.User.Username, cell(&link.ExpiresAt))
			}
			return out.print(body, "%s\n", body.URL)
		})
	}
	return cmd
}
