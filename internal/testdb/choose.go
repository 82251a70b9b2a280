package testdb

import (
	"context"
	"errors"
	"fmt"
	"os"

	"kindred/internal/devdb"
)

// Where PostgreSQL comes from: the values of KINDRED_TEST_POSTGRES.
const (
	fromURL       = "url"
	fromContainer = "testcontainers"
	fromPrograms  = "local"
)

// host is a running PostgreSQL, and how to end it.
type host struct {
	from   string
	url    string // of a database in which databases can be made
	stop   func(context.Context) error
	halt   func(ctx context.Context, immediate bool) error // nil where it is not ours to halt
	resume func(context.Context) error
}

const instructions = `there is no PostgreSQL for the tests. One of these helps:
  - install PostgreSQL 15 or newer (Debian and Ubuntu: apt-get install postgresql), or set PG_BIN to the folder of its programs
  - start Docker, and let it have the image (KINDRED_TEST_POSTGRES_IMAGE, default ` + defaultImage + `)
  - set TEST_DATABASE_URL to a server on which the role may create databases`

// findHost takes the first that can be had. A source that was forced and cannot be had is an error:
// whoever forces one would rather have no result than that of another.
func findHost(ctx context.Context) (host, error) {
	switch forced := os.Getenv("KINDRED_TEST_POSTGRES"); forced {
	case "":
	case fromURL, fromContainer, fromPrograms:
		return hostFrom(ctx, forced)
	default:
		return host{}, fmt.Errorf("KINDRED_TEST_POSTGRES is %q, want %s, %s or %s", forced, fromURL, fromContainer, fromPrograms)
	}
	if os.Getenv("TEST_DATABASE_URL") != "" {
		return hostFrom(ctx, fromURL)
	}
	h, containerErr := hostFrom(ctx, fromContainer)
	if containerErr == nil {
		return h, nil
	}
	h, localErr := hostFrom(ctx, fromPrograms)
	if localErr == nil {
		say("PostgreSQL from this machine's own programs")
		return h, nil
	}
	return host{}, fmt.Errorf("%s\ncontainer: %w\nlocal: %w", instructions, containerErr, localErr)
}

func hostFrom(ctx context.Context, from string, settings ...string) (host, error) {
	switch from {
	case fromContainer:
		return startContainer(ctx, settings...)
	case fromPrograms:
		return startPrograms(ctx, settings...)
	}
	url := os.Getenv("TEST_DATABASE_URL")
	if url == "" {
		return host{}, errors.New("TEST_DATABASE_URL is not set")
	}
	if err := sweep(ctx, url); err != nil {
		return host{}, err
	}
	return host{from: fromURL, url: url, stop: func(context.Context) error { return nil }}, nil
}

func startPrograms(ctx context.Context, settings ...string) (host, error) {
	s, err := devdb.StartThrowaway(ctx, devdb.ThrowawayOptions{Install: say, Settings: settings})
	if err != nil {
		return host{}, err
	}
	return host{
		from: fromPrograms, url: s.URL(), stop: s.Stop, resume: s.Resume,
		halt: func(ctx context.Context, immediate bool) error {
			if immediate {
				return s.Halt(ctx, devdb.Immediate)
			}
			return s.Halt(ctx, devdb.Fast)
		},
	}, nil
}

// say writes where go test shows it whether or not the tests pass.
func say(line string) { fmt.Fprintln(os.Stderr, "testdb:", line) }
