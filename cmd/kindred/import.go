package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	strict "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"kindred/internal/account"
	"kindred/internal/auth"
)

func newUserImport(p process) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Create users with the password hashes that another system made",
		Long: "Reads one JSON object a line: username, passwordHash, and role, claims, disabled, createdAt, id if they\n" +
			"are to be kept. Each line stands or falls by itself; one whose name exists is passed over, so that the\n" +
			"same file can be given again after an interruption. Exit code 1 if a line was refused.",
		Example: "kindred user import users.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			input := io.Reader(p.stdin)
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer file.Close()
				input = file
			}
			return withUsers(cmd.Context(), p, func(ctx context.Context, users *auth.Service) error {
				return (&importing{users: users, report: p.stdout, asJSON: asJSON}).run(ctx, input)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "report in JSON, one object a line")
	cmd.ValidArgsFunction = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault) // files
	return cmd
}

// importing reports a file line by line. Of what a line holds it prints names only.
type importing struct {
	users  *auth.Service
	report io.Writer
	asJSON bool
	counts struct {
		Added   int `json:"added"`
		Exists  int `json:"exists"`
		Refused int `json:"refused"`
	}
}

// imported is what became of one line.
type imported struct {
	Line     int    `json:"line"`
	Username string `json:"username"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason,omitempty"`
}

func (i *importing) run(ctx context.Context, input io.Reader) error {
	const maxLine = 64 << 10
	lines := bufio.NewReaderSize(input, maxLine)
	for number := 1; ; number++ {
		text, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read line %d: %w", number, err)
		}
		if err := i.line(ctx, number, text); err != nil {
			return fmt.Errorf("line %d: %w; the lines before it are done, and the same file can be given again", number, err)
		}
	}
	words := fmt.Sprintf("%d added, %d exist, %d refused", i.counts.Added, i.counts.Exists, i.counts.Refused)
	if err := i.print(i.counts, words); err != nil {
		return err
	}
	if i.counts.Refused > 0 {
		return fmt.Errorf("%d lines were refused", i.counts.Refused)
	}
	return nil
}

// readLine reads to the end of a line. Of one that is too long only the beginning is kept, which is no whole
// JSON object.
func readLine(lines *bufio.Reader) ([]byte, error) {
	text, more, err := lines.ReadLine()
	text = bytes.Clone(text)
	for more && err == nil {
		_, more, err = lines.ReadLine()
	}
	return text, err
}

// line imports one user; an empty line is none. The error is trouble, not a refusal.
func (i *importing) line(ctx context.Context, number int, text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	user, err := readImported(text)
	if err == nil {
		err = i.users.ImportUser(ctx, byOperator(), user)
	}
	var invalid *account.InvalidError
	done := imported{Line: number, Username: user.Username}
	switch {
	case err == nil:
		done.Outcome = "added"
		i.counts.Added++
	case errors.Is(err, auth.ErrUsernameTaken):
		done.Outcome = "exists"
		i.counts.Exists++
	case errors.As(err, &invalid), errors.Is(err, auth.ErrUserIDTaken):
		done.Outcome, done.Reason = "refused", err.Error()
		i.counts.Refused++
	default:
		return err
	}
	words := fmt.Sprintf("line %d: %q %s", number, done.Username, done.Outcome)
	if done.Reason != "" {
		words += ": " + done.Reason
	}
	return i.print(done, words)
}

func (i *importing) print(object any, words string) error {
	if i.asJSON {
		return json.NewEncoder(i.report).Encode(object)
	}
	_, err := fmt.Fprintln(i.report, words)
	return err
}

// readImported reads a line. The error is an *account.InvalidError in words of our own, since the decoder's
// may quote a hash.
func readImported(text []byte) (auth.ImportedUser, error) {
	var line struct {
		Username     *string        `json:"username"`
		PasswordHash *string        `json:"passwordHash"`
		Role         string         `json:"role"`
		Claims       map[string]any `json:"claims"`
		Disabled     bool           `json:"disabled"`
		CreatedAt    *time.Time     `json:"createdAt"`
		ID           *uuid.UUID     `json:"id"`
	}
	refuse := func(reason string) (auth.ImportedUser, error) {
		return auth.ImportedUser{}, &account.InvalidError{Field: "line", Reason: reason}
	}
	err := strict.Unmarshal(text, &line, strict.RejectUnknownMembers(true))
	var wrong *strict.SemanticError
	switch {
	case errors.Is(err, strict.ErrUnknownName) && errors.As(err, &wrong):
		return refuse(fmt.Sprintf("The member %q is not known.", wrong.JSONPointer))
	case errors.As(err, &wrong) && wrong.JSONPointer != "":
		return refuse(fmt.Sprintf("The member %q is not what it should be.", wrong.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName):
		return refuse("A member is given twice.")
	case err != nil:
		return refuse("It is no JSON object in UTF-8, or is longer than 64 KiB.")
	case line.Username == nil || line.PasswordHash == nil:
		return refuse("It needs the members username and passwordHash.")
	}
	return auth.ImportedUser{
		Username: *line.Username, PasswordHash: *line.PasswordHash, Role: line.Role, Claims: line.Claims,
		Disabled: line.Disabled, CreatedAt: line.CreatedAt, ID: line.ID,
	}, nil
}
