package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/httpapi"
)

func newEvents(p process) *cobra.Command {
	var wanted auth.EventQuery
	var since, until string
	var follow bool
	limit := 100
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Read the audit trail: what happened to whom, the newest first",
		Long: "Reads the audit trail, the newest first (docs/audit.md); with --follow, what happens from now on (or\n" +
			"since --since) as it becomes known, until Ctrl-C.",
		Example: `kindred events --user ana --since 24h
kindred events --kind reuse_detected --kind suspected_theft --follow --json`,
		Args: cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	flags := cmd.Flags()
	flags.StringVar(&wanted.User, "user", "", "name or id; of a deleted user the id")
	flags.StringVar(&wanted.FamilyID, "family", "", "id of a session")
	flags.StringSliceVar(&wanted.Kinds, "kind", nil, "kind of event; may be given several times")
	offer(cmd, "kind", audit.Kinds()...)
	flags.StringVar(&wanted.RequestID, "request-id", "", "X-Request-Id of the answer")
	flags.StringVar(&since, "since", "", "a time like 2026-05-01T12:00:00Z, or how long ago, like 1h30m")
	flags.StringVar(&until, "until", "", "the same")
	flags.IntVar(&limit, "limit", limit, "events at most; 0 is all of them")
	flags.BoolVar(&follow, "follow", false, "go on with what happens")
	cmd.MarkFlagsMutuallyExclusive("follow", "until")
	cmd.MarkFlagsMutuallyExclusive("follow", "limit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if wanted.Since, err = instantOf("since", since); err != nil {
			return err
		}
		if wanted.Until, err = instantOf("until", until); err != nil {
			return err
		}
		if limit < 0 {
			return &usageError{"--limit must not be negative"}
		}
		return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
			if follow {
				trouble := func(err error) { fmt.Fprintln(p.stderr, "kindred: still trying:", err) }
				return inWords(users.FollowEvents(ctx, wanted, out.event, trouble), wanted.User)
			}
			return inWords(listEvents(ctx, out, users, wanted, limit), wanted.User)
		})
	}
	return cmd
}

// instantOf reads a time, or how long ago that was by this machine's clock.
func instantOf(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return time.Now().Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, &usageError{"--" + flag + " must be a time like 2026-05-01T12:00:00Z, or how long ago, like 1h30m"}
	}
	return at, nil
}

func listEvents(ctx context.Context, out *printer, users *auth.Service, wanted auth.EventQuery, limit int) error {
	for page := (auth.Page{}); ; {
		page.Limit = auth.MaxPage
		if limit > 0 {
			page.Limit = min(page.Limit, limit)
		}
		found, err := users.Events(ctx, wanted, page)
		if err != nil {
			return err
		}
		for _, e := range found.Events {
			if err := out.event(e); err != nil {
				return err
			}
		}
		if limit > 0 {
			if limit -= len(found.Events); limit == 0 {
				return nil
			}
		}
		if found.Next == "" {
			return nil
		}
		page.Cursor = found.Next
	}
}

// event prints one event a line: when, what and why; then to whom, by whom and from where.
func (p *printer) event(e audit.Event) error {
	body := httpapi.DescribeEvent(e)
	what := body.Kind
	if body.Reason != "" {
		what += " (" + body.Reason + ")"
	}
	var rest strings.Builder
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&rest, "  %s %s", name, visibly(value))
		}
	}
	if body.UserID != nil {
		add("user", *body.UserID)
	}
	if body.FamilyID != nil {
		add("session", *body.FamilyID)
	}
	add("client", body.ClientID)
	add("by", body.Actor)
	add("from", body.IP)
	add("request", body.RequestID)
	if body.UserAgent != "" {
		fmt.Fprintf(&rest, "  %q", visibly(body.UserAgent))
	}
	if len(body.Detail) > 0 {
		detail, err := json.Marshal(body.Detail)
		if err != nil {
			return err
		}
		fmt.Fprintf(&rest, "  %s", visibly(string(detail)))
	}
	return p.print(body, "%s  %-28s%s\n", e.At.UTC().Format("2006-01-02T15:04:05.000Z"), what, rest.String())
}
