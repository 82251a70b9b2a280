package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kindred/internal/auth"
	"kindred/internal/httpapi"
	"kindred/internal/revocation"
)

func newExplain(p process) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "explain FAMILY|USERNAME|REQUEST-ID",
		Short: "Tell why somebody was logged out",
		Long: "Tells what became of a session, generation by generation, and why it ended. It is found by its own id,\n" +
			"by the name or id of its user (then the session that ended last other than by a logout), or by the\n" +
			"X-Request-Id of an answer. Needs only DATABASE_URL, and changes nothing. docs/explain.md shows how to read it.",
		Example: `kindred explain ana
kindred explain 0199c4f2-7d10-7b3e-9f3a-5a0c6d2e4b11   # the X-Request-Id of an answer`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			generations := httpapi.DefaultGenerations
			if all {
				generations = math.MaxInt32
			}
			answer, err := explain(cmd.Context(), p, args[0], generations)
			switch {
			case errors.Is(err, auth.ErrNothingKnown):
				return &wordedError{fmt.Sprintf("%q is no session, no user and no request that left a record (of a refusal after a session had ended there is only a log line, which has its family_id)", args[0]), err}
			case err != nil:
				return err
			case asJSON:
				return json.NewEncoder(p.stdout).Encode(answerBody(answer))
			}
			d := drawing{colour: colourful(p), all: all}
			d.answer(answer)
			_, err = io.WriteString(p.stdout, d.text.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "show every generation of a long chain")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: for a session what GET /admin/families/{id} answers")
	return cmd
}

func explain(ctx context.Context, p process, what string, generations int) (auth.Answer, error) {
	st, err := openStore(p)
	if err != nil {
		return auth.Answer{}, err
	}
	defer st.Close()
	service := auth.New(auth.Config{}, st, revocation.NewSet(time.Now), auth.Secrets{}, slog.New(slog.DiscardHandler))
	return service.Explain(ctx, what, generations)
}

// colourful tells whether the output is a terminal whose owner minds no colours (https://no-color.org).
func colourful(p process) bool {
	file, ok := p.stdout.(*os.File)
	unwanted := slices.ContainsFunc(p.environ, func(variable string) bool {
		return strings.HasPrefix(variable, "NO_COLOR=") && variable != "NO_COLOR="
	})
	return ok && !unwanted && term.IsTerminal(int(file.Fd()))
}

// explained is the lineage as the API shows it, and beside it how it was found.
type explained struct {
	Sessions []httpapi.FamilyBody `json:"sessions,omitempty"`
	Request  []httpapi.EventBody  `json:"request,omitempty"`
	*httpapi.LineageBody
}

func answerBody(answer auth.Answer) explained {
	var body explained
	for _, session := range answer.Sessions {
		body.Sessions = append(body.Sessions, httpapi.DescribeFamily(session, answer.Username))
	}
	for _, e := range answer.Request {
		body.Request = append(body.Request, httpapi.DescribeEvent(e))
	}
	if answer.Explanation != nil {
		lineage := httpapi.DescribeLineage(*answer.Explanation)
		body.LineageBody = &lineage
	}
	return body
}
