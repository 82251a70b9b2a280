package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"kindred/internal/auth"
	"kindred/internal/family"
	"kindred/internal/httpapi"
)

func newSession(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "session", Short: "List, show and end sessions"}
	cmd.AddCommand(newSessionList(p), newSessionShow(p), newSessionRevoke(p))
	return cmd
}

func newSessionList(p process) *cobra.Command {
	q := auth.FamilyQuery{Page: auth.Page{Limit: auth.MaxPage}}
	cmd := &cobra.Command{Use: "list USER", Short: "List a user's sessions, the newest first", Args: cobra.ExactArgs(1)}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			return inWords(listSessions(ctx, out, users, args[0], q), args[0])
		})
	}
	cmd.Flags().StringVar(&q.State, "state", "all", "live, ended or all")
	offer(cmd, "state", "live", "ended", "all")
	return cmd
}

func listSessions(ctx context.Context, out *printer, users *auth.Service, nameOrID string, q auth.FamilyQuery) error {
	list := out.list("ID", "STATE", "BEGAN", "LAST USED", "ADDRESS", "USER AGENT")
	for {
		page, err := users.Families(ctx, nameOrID, q)
		if err != nil {
			return err
		}
		for _, f := range page.Families {
			body := httpapi.DescribeSession(f)
			if err := list.add(body, body.ID, stateOf(f), cell(&f.CreatedAt), cell(&f.RotatedAt), body.IP, body.UserAgent); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return list.end()
		}
		nameOrID, q.Cursor = page.User.ID.String(), page.Next
	}
}

// stateOf names the reason where somebody ended it.
func stateOf(f auth.ListedFamily) string {
	if f.State == family.StateRevoked {
		return string(f.RevokedReason)
	}
	return string(f.State)
}

func newSessionShow(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one session",
		Args:  cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := sessionID(args[0])
		if err != nil {
			return err
		}
		return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			f, user, err := users.Family(ctx, id)
			if err != nil {
				return inSessionWords(err, id)
			}
			if out.json {
				return out.encode(httpapi.DescribeSession(f))
			}
			body, by := httpapi.DescribeSession(f), ""
			if f.State == family.StateRevoked {
				by = f.RevokedBy
			}
			return out.fields(
				"id", body.ID, "user", user.Username, "user id", body.UserID, "client", body.ClientID, "state", stateOf(f), "began", cell(&f.CreatedAt),
				"last used", cell(&f.RotatedAt), "expires unused", cell(&f.IdleExpiresAt), "expires", cell(&f.ExpiresAt), "ended", cell(&f.EndedAt),
				"ended by", by, "generation", fmt.Sprint(body.Generation), "address", body.IP, "user agent", body.UserAgent,
			)
		})
	}
	return cmd
}

func newSessionRevoke(p process) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "revoke ID | revoke --all USER",
		Short: "End one session, or all of a user's",
		Example: `kindred session revoke 0199b5c0-5a7e-7c11-8d61-8c5f3a1f0c01
kindred session revoke --all ana`,
		Args: cobra.ExactArgs(1),
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if all {
			return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
				ended, err := users.RevokeSessions(ctx, byOperator(), args[0])
				if err != nil {
					return inWords(err, args[0])
				}
				return out.print(endedBody{ended}, "ended %d sessions\n", ended)
			})
		}
		id, err := sessionID(args[0])
		if err != nil {
			return err
		}
		return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			if err := users.RevokeSession(ctx, byOperator(), id); err != nil {
				return inSessionWords(err, id)
			}
			f, _, err := users.Family(ctx, id)
			if err != nil {
				return inSessionWords(err, id)
			}
			return out.print(httpapi.DescribeSession(f), "ended %s\n", id)
		})
	}
	cmd.Flags().BoolVar(&all, "all", false, "end all sessions of the user that is named")
	return cmd
}

// endedBody is how many sessions were ended.
type endedBody struct {
	Ended int `json:"ended"`
}

func sessionID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, &usageError{fmt.Sprintf("%q is no session's id; `kindred session list USER` shows them", text)}
	}
	return id, nil
}

func inSessionWords(err error, id uuid.UUID) error {
	if errors.Is(err, auth.ErrFamilyNotFound) {
		return &wordedError{fmt.Sprintf("there is no session %s", id), err}
	}
	return err
}
