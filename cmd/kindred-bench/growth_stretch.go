package main

import (
	"context"
	"fmt"
	"time"
)

// written is what PostgreSQL says of a database and of its log.
type written struct {
	wal, images             float64 // bytes of log, and copies of pages in it
	families, tokens        float64 // bytes of the tables, indexes included
	updates, hot, deadTuple float64 // of token_families
}

func (s *side) written(ctx context.Context) (w written, err error) {
	const statement = `
		SELECT wal_bytes::float8, wal_fpi::float8, pg_total_relation_size('token_families')::float8,
		       (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'refresh_tokens'::regclass)::float8,
		       n_tup_upd::float8, n_tup_hot_upd::float8, n_dead_tup::float8
		  FROM pg_stat_wal, pg_stat_user_tables WHERE relid = 'token_families'::regclass`
	err = s.postgres.QueryRow(ctx, statement).Scan(&w.wal, &w.images, &w.families, &w.tokens, &w.updates, &w.hot, &w.deadTuple)
	if err != nil {
		return written{}, fmt.Errorf("read statistics: %w", err)
	}
	return w, nil
}

// stretches are rotations of a known number. Spread over many families each rotation is the first change of a page
// after the checkpoint, which puts a copy of the page into the log; those of few chains show the log without.
func (g *growth) stretches(ctx context.Context, r *report) error {
	for _, stretch := range []struct {
		s    *side
		name string
		load load
	}{
		{g.empty, "empty_spread", g.empty.spreadOut("empty_spread", clients)},
		{g.full, "full_spread", g.full.spreadOut("full_spread", clients)},
		{g.full, "full_chains", g.full.chains("full_chains", clients)},
	} {
		if _, err := g.postgres.Exec(ctx, "CHECKPOINT"); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if err := g.stretch(ctx, stretch.s, stretch.name, stretch.load, r); err != nil {
			return err
		}
	}
	return nil
}

// stretch writes down what the rotations cost, as for a million of them.
func (g *growth) stretch(ctx context.Context, s *side, name string, l load, r *report) error {
	before, err := s.written(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := l.times(ctx, g.o.rotations); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := s.settled(ctx, before.updates+float64(g.o.rotations))
	if err != nil {
		return err
	}
	million := 1e6 / float64(g.o.rotations)
	r.add(name+"_rotations", "1/s", float64(g.o.rotations)/took.Seconds())
	r.add(name+"_wal", "MB/million", (after.wal-before.wal)/1e6*million)
	r.add(name+"_page_images", "/rotation", (after.images-before.images)/float64(g.o.rotations))
	r.add(name+"_tokens_size", "MB/million", (after.tokens-before.tokens)/1e6*million)
	r.add(name+"_families_size", "MB/million", (after.families-before.families)/1e6*million)
	r.add(name+"_hot_updates", "%", 100*(after.hot-before.hot)/(after.updates-before.updates))
	r.add(name+"_dead_tuples", "rows", after.deadTuple)
	return nil
}

// settled waits until PostgreSQL's sessions have told of all updates. They do so behind a statement, a second
// after the last time at the earliest, and so all of them are given some that change nothing.
func (s *side) settled(ctx context.Context, updates float64) (written, error) {
	const patience, pause = time.Minute, 100 * time.Millisecond
	for began := time.Now(); ; {
		w, err := s.written(ctx)
		if err != nil || w.updates >= updates {
			return w, err
		}
		if time.Since(began) > patience {
			return written{}, fmt.Errorf("PostgreSQL tells of %g updates, and there were %g", w.updates, updates)
		}
		if _, err := s.lineages("settle", clients).measure(ctx, pause); err != nil {
			return written{}, err
		}
	}
}
