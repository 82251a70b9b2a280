package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrUsernameTaken: a living user has that name.
	ErrUsernameTaken = errors.New("username is taken")
	// ErrClientExists: there is a client of that id, disabled or not.
	ErrClientExists = errors.New("client exists")
	// ErrUnavailable: the database is away, read-only, too slow, or would not do what was asked for a
	// reason that is not the caller's. Nothing was consumed, unless it was a COMMIT whose answer was
	// lost; trying again is safe.
	ErrUnavailable = errors.New("database unavailable")

	errNoPartition = errors.New("no partition for the row")
	errRunAgain    = errors.New("transaction must run again")
)

// translate turns a driver's error into ours. Whatever the database refuses for reasons of its own
// counts as unavailable, because server trouble must never look like a refused token.
func translate(err error) error {
	var pgErr *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrUsernameTaken), errors.Is(err, ErrClientExists),
		errors.Is(err, ErrUnavailable), errors.Is(err, errNoPartition), errors.Is(err, errRunAgain):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &pgErr):
		return translateState(pgErr, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), brokenConnection(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return err // not the database's: a callback's own
	}
}

func translateState(pgErr *pgconn.PgError, err error) error {
	switch state := pgErr.Code; {
	case state == "23505" && pgErr.ConstraintName == "users_username_key_among_the_living":
		return ErrUsernameTaken
	case state == "23505" && pgErr.ConstraintName == "clients_pkey":
		return ErrClientExists
	case state == "23514" && pgErr.ConstraintName == "":
		// A CHECK has a name; a row without a partition has none.
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errNoPartition, err)
	case state == "40001", state == "40P01", state == "55P03":
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errRunAgain, err)
	case state[:2] == "22", state == "42601", state == "42804", state == "42883":
		return err // our own mistake in a statement or its values
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// brokenConnection tells of errors of the wire, as opposed to those the server sent.
func brokenConnection(err error) bool {
	var connect *pgconn.ConnectError
	var netErr net.Error
	return errors.As(err, &connect) || errors.As(err, &netErr) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}
