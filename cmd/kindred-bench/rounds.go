package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// run measures, prints the table and writes the file.
func run(ctx context.Context, o options, stdout io.Writer) (err error) {
	if o.rounds < 1 || o.seconds <= 0 {
		return errors.New("--rounds and --seconds must be above zero")
	}
	var b bench
	defer func() {
		if ctx.Err() != nil {
			err = errors.New("interrupted") // all else is what follows from that
		}
		err = errors.Join(err, b.stop())
	}()
	if err := b.start(ctx, o.kindred); err != nil {
		return err
	}
	settings, err := b.settings(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s; %d rounds of %g s for each figure\n\n", settings, o.rounds, o.seconds)
	r := newReport(goals())
	for round := range o.rounds {
		say(fmt.Sprintf("round %d of %d", round+1, o.rounds))
		if err := b.round(ctx, round, o.duration(), r); err != nil {
			return fmt.Errorf("%w%s", err, b.kindred.complaints())
		}
	}
	r.print(stdout)
	return r.write(o.out)
}

// say keeps whoever waits informed; the figures alone go to standard output.
func say(line string) { fmt.Fprintln(os.Stderr, "kindred-bench:", line) }

// settings say on what the figures were made.
func (b *bench) settings(ctx context.Context) (string, error) {
	var version, fsync, data string
	err := b.postgres.QueryRow(ctx, `
		SELECT current_setting('server_version'), current_setting('fsync'), current_setting('data_directory')`).Scan(&version, &fsync, &data)
	if err != nil {
		return "", fmt.Errorf("ask PostgreSQL for its settings: %w", err)
	}
	algorithm, err := algorithmOf(b.accessTokens[0])
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d cores for client, server and PostgreSQL together; PostgreSQL %s, fsync %s, data in %s; %s; access tokens signed with %s",
		runtime.NumCPU(), version, fsync, data, runtime.Version(), algorithm), nil
}

// algorithmOf reads the header of a JWT, so that what is printed is what was measured.
func algorithmOf(accessToken string) (string, error) {
	encoded, _, _ := strings.Cut(accessToken, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("read an access token: %w", err)
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return "", fmt.Errorf("read an access token: %w", err)
	}
	return header.Algorithm, nil
}

// round measures every figure once. Each round begins with another group, and every other one turns the
// groups round, so that no figure always has the same one before it. The checkpoint spares all of them one
// that PostgreSQL would begin in the middle; autovacuum comes when it comes.
func (b *bench) round(ctx context.Context, round int, d time.Duration, r *report) error {
	if err := b.cost(ctx, d, r); err != nil {
		return err
	}
	if _, err := b.postgres.Exec(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	groups := b.groups()
	for i := range groups {
		g := groups[(round+i)%len(groups)]
		if round%2 == 1 {
			slices.Reverse(g.loads)
		}
		for _, l := range g.loads {
			s, err := l.measure(ctx, d)
			if err != nil {
				return err
			}
			r.sample(l, s)
		}
		for _, of := range g.ratios {
			r.ratio(of)
		}
	}
	return b.countStatements(ctx, r)
}

// countStatements asks one request after the other, so that each statement belongs to one.
func (b *bench) countStatements(ctx context.Context, r *report) error {
	const requests = 10
	for _, kind := range []struct {
		name    string
		operate func(*client, int) error
	}{{"refresh", b.refresh}, {"protected", b.protected}, {"login", b.login}} {
		w, err := at(b.counted, kind.operate)(ctx, 0)
		if err != nil {
			return err
		}
		defer w.end()
		// The first one may make a connection.
		if err := w.operate(); err != nil {
			return err
		}
		before := b.proxy.statements.Load()
		for range requests {
			if err := w.operate(); err != nil {
				return err
			}
		}
		r.add("statements_"+kind.name, "a request", float64(b.proxy.statements.Load()-before)/requests)
	}
	return nil
}
