package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"kindred/internal/account"
	"kindred/internal/auth"
)

// Exit codes, which scripts branch on.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4
	exitUnavailable = 5
)

const exitCodes = `Each command ends with one of these codes. What went wrong is one line on standard error.

  0  done; also where there was nothing left to do, as when a disabled user is disabled again
  1  failed in another way: a setting is wrong, the schema is too old, ` + "`kindred check`" + ` found damage,
     ` + "`kindred doctor`" + ` a problem
  2  wrong usage: an unknown command or flag, the wrong number of arguments, a value that a flag does
     not take, a question (for a password, whether to delete) that there is no terminal for
  3  not found: there is no such user, session, client or key
  4  refused by a rule: the name is taken or is none, the password is refused, the client has ended …
  5  the database is not available; nothing was done, unless its last answer was lost. Trying again is safe
`

// newExitCodes is a topic of `kindred help` and no command.
func newExitCodes() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes of the commands mean", Long: exitCodes}
}

// exitCode is the one table from a command's error to the code that it ends with.
func exitCode(err error) int {
	var began *bodyError
	var usage *usageError
	var query *auth.QueryError
	var invalid *account.InvalidError
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &began), errors.As(err, &usage), errors.As(err, &query):
		return exitUsage
	case errors.Is(err, auth.ErrUserNotFound), errors.Is(err, auth.ErrFamilyNotFound),
		errors.Is(err, auth.ErrClientNotFound), errors.Is(err, auth.ErrKeyNotFound):
		return exitNotFound
	case errors.As(err, &invalid), errors.Is(err, errRefused), errors.Is(err, auth.ErrUsernameTaken),
		errors.Is(err, auth.ErrClientExists), errors.Is(err, auth.ErrClientDisabled), errors.Is(err, auth.ErrPublicClient),
		errors.Is(err, auth.ErrKeyInUse):
		return exitRefused
	case errors.Is(err, context.Canceled): // by a signal, which the database is not to blame for
		return exitFailed
	case errors.Is(err, auth.ErrUnavailable), errors.As(err, &connect):
		return exitUnavailable
	}
	return exitFailed
}

// errRefused is what a command refuses by itself.
var errRefused = errors.New("refused")

// usageError is a command line that cannot be meant so.
type usageError struct{ words string }

func (e *usageError) Error() string { return e.words }

// wordedError is an error in the words of the command line; what it is stays within.
type wordedError struct {
	words string
	cause error
}

func (e *wordedError) Error() string { return e.words }
func (e *wordedError) Unwrap() error { return e.cause }

// bodyError comes from the body of a command, so that its command line was right.
type bodyError struct{ cause error }

func (e *bodyError) Error() string { return e.cause.Error() }
func (e *bodyError) Unwrap() error { return e.cause }

// markBodies lets exitCode tell errors of the bodies from those that cobra itself finds in a command line. A
// group of commands gets a body that shows its help, since cobra else lets any word pass behind it.
func markBodies(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		markBodies(child)
	}
	if do := cmd.RunE; do != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := do(cmd, args); err != nil {
				return &bodyError{err}
			}
			return nil
		}
		return
	}
	if cmd.HasSubCommands() {
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}
