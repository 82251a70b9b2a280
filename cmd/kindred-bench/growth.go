package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"kindred/internal/devdb"
	"kindred/internal/password"
	"kindred/internal/token"
	"kindred/migrations"
)

// growthOptions say how large the full database is, and how long to measure.
type growthOptions struct {
	options
	families  int      // that live
	ended     int      // in a week that is past
	sessions  int      // of the user who has many
	rotations int      // after which disk, dead tuples and HOT updates are looked at
	settings  []string // of PostgreSQL, each name=value
}

func newGrowth() *cobra.Command {
	var o growthOptions
	cmd := &cobra.Command{
		Use:   "growth",
		Short: "Measure Kindred on a database that is full beside one that is empty",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runGrowth(cmd.Context(), o, cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&o.kindred, "kindred", "bin/kindred", "the binary to measure")
	cmd.Flags().StringVar(&o.out, "out", "bench-growth.json", "file to write the figures to")
	cmd.Flags().IntVar(&o.rounds, "rounds", 3, "rounds, each of which measures every rate once on either database")
	cmd.Flags().Float64Var(&o.seconds, "seconds", 3, "seconds for each rate in each round")
	cmd.Flags().IntVar(&o.families, "families", 1_000_000, "families that live in the full database, of 10 tokens each")
	cmd.Flags().IntVar(&o.ended, "ended", 200_000, "families beside them that ended in a week that is past, to be purged")
	cmd.Flags().IntVar(&o.sessions, "sessions", 1000, "families of the user who has many")
	cmd.Flags().IntVar(&o.rotations, "rotations", 100_000, "rotations after which disk and HOT updates are looked at")
	cmd.Flags().StringArrayVar(&o.settings, "set", nil, "a setting of PostgreSQL, name=value, to see what it changes (again for each)")
	return cmd
}

// growthGoals are by the name of the figure or ratio.
func growthGoals() map[string]goal {
	return map[string]goal{
		"refresh_64_full_over_empty":            {AtLeast: 0.9},
		"refresh_64_full_over_empty_p99":        {AtMost: 1.3},
		"refresh_spread_64_full_over_empty":     {AtLeast: 0.9},
		"refresh_spread_64_full_over_empty_p99": {AtMost: 1.3},
		"purge":                                 {AtMost: 2},
		"purge_slowest_refresh":                 {AtMost: 100},
		"full_spread_hot_updates":               {AtLeast: 95},
		"full_chains_hot_updates":               {AtLeast: 95},
	}
}

// growth is what runs while it measures: of the bench its folder, its connection and what it ends.
type growth struct {
	bench
	o           growthOptions
	codec       *token.RefreshCodec
	now         time.Time // when the databases were filled, by PostgreSQL
	hash        string    // of everybody's password
	empty, full *side
}

// runGrowth measures, prints the table and writes the file.
func runGrowth(ctx context.Context, o growthOptions, stdout io.Writer) (err error) {
	// Each worker has families of its own.
	if o.rounds < 1 || o.seconds <= 0 || o.families < clients || o.ended < 1 || o.sessions < 2 || o.rotations < 1 {
		return fmt.Errorf("--rounds, --seconds, --ended and --rotations must be above zero, --families at least %d and --sessions 2", clients)
	}
	g := growth{o: o}
	defer func() {
		if ctx.Err() != nil {
			err = errors.New("interrupted") // all else is what follows from that
		}
		err = errors.Join(err, g.stop())
	}()
	r := newReport(growthGoals())
	if err := g.fillAll(ctx, r); err != nil {
		return err
	}
	settings, err := g.settings(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s; %d families with %d tokens that live and %d that have ended; %d rounds of %g s for each rate\n\n",
		settings, o.families, o.families*generations, o.ended, o.rounds, o.seconds)
	err = g.measureAll(ctx, r)
	r.print(stdout) // what there is: it took long
	if err != nil {
		return fmt.Errorf("%w%s%s", err, g.empty.server.complaints(), g.full.server.complaints())
	}
	return r.write(o.out)
}

func (g *growth) measureAll(ctx context.Context, r *report) error {
	for round := range g.o.rounds {
		say(fmt.Sprintf("round %d of %d", round+1, g.o.rounds))
		if err := g.round(ctx, round, r); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		name string
		run  func(context.Context, *report) error
	}{{"rotations", g.stretches}, {"purge", g.purge}, {"check", g.check}} {
		say(step.name)
		if err := step.run(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// fillAll starts PostgreSQL and makes both databases, with a server on each.
func (g *growth) fillAll(ctx context.Context, r *report) (err error) {
	if g.dir, err = os.MkdirTemp("", "kindred-growth-"); err != nil {
		return err
	}
	g.atEnd(func() error { return os.RemoveAll(g.dir) })
	if g.program, err = filepath.Abs(g.o.kindred); err != nil {
		return err
	}
	db, err := devdb.StartThrowaway(ctx, devdb.ThrowawayOptions{Durable: true, Install: say, Settings: g.o.settings})
	if err != nil {
		return err
	}
	g.atEnd(func() error { return db.Stop(context.WithoutCancel(ctx)) })
	if g.postgres, err = pgx.Connect(ctx, db.URL()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	g.atEnd(func() error { return g.postgres.Close(context.WithoutCancel(ctx)) })
	if err := g.postgres.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&g.now); err != nil {
		return fmt.Errorf("read clock: %w", err)
	}
	secret := rand.Text() + rand.Text()
	if g.codec, err = token.NewRefreshCodec([]byte(secret)); err != nil {
		return err
	}
	hasher, err := password.New(password.Config{Params: password.DefaultParams()})
	if err != nil {
		return err
	}
	if g.hash, err = hasher.Hash(ctx, userPassword); err != nil {
		return err
	}
	const few = 16 * clients
	if g.empty, err = g.startSide(ctx, db.URL(), "empty", secret, min(few, g.o.families), 0); err != nil {
		return err
	}
	began := time.Now()
	if g.full, err = g.startSide(ctx, db.URL(), "full", secret, g.o.families, g.o.ended); err != nil {
		return err
	}
	r.add("full_load", "s", time.Since(began).Seconds())
	return g.signIn(ctx)
}

// startSide makes a database and fills it. The server starts before, so that its purge, which comes with the
// start and each hour, finds nothing that has ended.
func (g *growth) startSide(ctx context.Context, server, name, secret string, families, ended int) (*side, error) {
	say(fmt.Sprintf("load %s: %d families", name, families+ended))
	address, err := url.Parse(server)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL is no URL") // with a password in it
	}
	if _, err := g.postgres.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, fmt.Errorf("create database: %w", err)
	}
	address.Path = "/" + name
	s := &side{name: name, url: address.String()}
	if err := migrations.Up(ctx, s.url, func(string) {}, func(string) {}); err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key)
	// Families live for as long as they can, refreshed or not: those that are loaded are not all refreshed.
	s.server, err = g.startServer(ctx, name, []string{
		"DATABASE_URL=" + s.url, "LISTEN_ADDR=127.0.0.1:0", "DRAIN_DELAY=0", "MAX_SESSIONS_PER_USER=10000",
		"JWT_SECRET=" + rand.Text() + rand.Text(), "JWT_REFRESH_SECRET=" + secret, "JWT_REFRESH_EXPIRATION=720h",
		"KEY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(key), "SIGNING_ALGORITHM=ES256",
	}, g.program, "serve")
	if err != nil {
		return nil, err
	}
	if s.postgres, err = pgx.Connect(ctx, s.url); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	g.atEnd(func() error { return s.postgres.Close(context.WithoutCancel(ctx)) })
	return s, g.fillSide(ctx, s, families, ended)
}

// fillSide loads families that began over the last 29 days, a user with many for each round, and those that
// ended within a week that is past.
func (g *growth) fillSide(ctx context.Context, s *side, families, ended int) error {
	const day = 24 * time.Hour
	l := fill{users: max(clients, families/10), crowds: g.o.rounds, hash: g.hash, born: g.now.Add(-100 * day)}
	s.users = l.users
	user := func(i int) uuid.UUID { return l.user(i % l.users) }
	s.living = between(11, families, g.now.Add(-29*day), g.now.Add(-time.Hour), g.now, user)
	s.crowds = between(12, g.o.sessions*g.o.rounds, g.now.Add(-20*day), g.now.Add(-time.Hour), g.now, func(i int) uuid.UUID { return l.crowd(i % g.o.rounds) })
	for _, p := range []*population{s.living, s.crowds} {
		if err := p.mint(g.codec); err != nil {
			return err
		}
	}
	l.populations = []*population{s.living, s.crowds}
	if ended > 0 {
		monday := mondayOf(g.now.UTC().Truncate(day)).AddDate(0, 0, -14)
		const ensure = `SELECT kindred_make_weeks('refresh_tokens', $1::date, $1::date)`
		if _, err := s.postgres.Exec(ctx, ensure, monday); err != nil {
			return fmt.Errorf("make past partition: %w", err)
		}
		l.populations = append(l.populations, between(13, ended, monday.Add(-lifetime), monday.Add(7*day-lifetime), g.now, user))
	}
	if err := l.load(ctx, s.url); err != nil {
		return err
	}
	// As autovacuum would by and by.
	if _, err := s.postgres.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}
