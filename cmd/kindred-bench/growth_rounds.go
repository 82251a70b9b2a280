package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"time"
)

func (g *growth) signIn(ctx context.Context) error {
	for _, s := range []*side{g.empty, g.full} {
		if err := s.signIn(ctx); err != nil {
			return err
		}
	}
	g.accessTokens = []string{g.full.admin} // whose algorithm is printed
	return nil
}

// round measures every rate once on either database, the two of a ratio one right after the other, and every
// other round the full one first. The full database pays in it what a checkpoint costs: the first change of
// each page after it is a copy of the page in the log.
func (g *growth) round(ctx context.Context, round int, r *report) error {
	if _, err := g.postgres.Exec(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	sides := []*side{g.empty, g.full}
	if round%2 == 1 {
		sides = []*side{g.full, g.empty}
	}
	crowd := map[*side]string{}
	for _, s := range sides {
		accessToken, err := s.signInCrowd(ctx, round)
		if err != nil {
			return err
		}
		crowd[s] = accessToken
	}
	for _, kind := range []struct {
		name string
		load func(s *side, name string) load
	}{
		{"refresh_64", func(s *side, name string) load { return s.chains(name, clients) }},
		{"refresh_spread_64", func(s *side, name string) load { return s.spreadOut(name, clients) }},
		{"login", func(s *side, name string) load { return s.logins(name, 2*runtime.GOMAXPROCS(0)) }},
		{"sessions", func(s *side, name string) load { return s.listings(name, crowd[s]) }},
		{"lineage", func(s *side, name string) load { return s.lineages(name, 1) }},
	} {
		for _, s := range sides {
			l := kind.load(s, s.name+"_"+kind.name)
			sample, err := l.measure(ctx, g.o.duration())
			if err != nil {
				return err
			}
			r.sample(l, sample)
		}
		r.ratio(ratio{kind.name + "_full_over_empty", "full_" + kind.name, "empty_" + kind.name})
		r.ratio(ratio{kind.name + "_full_over_empty_p99", "full_" + kind.name + "_p99", "empty_" + kind.name + "_p99"})
	}
	return g.once(ctx, round, sides, crowd, r)
}

// once measures what is asked for once, rather than again and again.
func (g *growth) once(ctx context.Context, round int, sides []*side, crowd map[*side]string, r *report) error {
	for _, s := range sides {
		took, err := s.explain(ctx, g.program)
		if err != nil {
			return err
		}
		r.add(s.name+"_explain", "ms", milliseconds(took))
		if took, err = s.revokeAll(ctx, round, g.o.sessions, crowd[s]); err != nil {
			return err
		}
		r.add(s.name+"_revoke_all", "ms", milliseconds(took))
	}
	for _, name := range []string{"explain", "revoke_all"} {
		r.ratio(ratio{name + "_full_over_empty", "full_" + name, "empty_" + name})
	}
	return nil
}

// check looks at the invariants of all that was loaded, rotated, revoked and purged.
func (g *growth) check(ctx context.Context, r *report) error {
	for _, s := range []*side{g.empty, g.full} {
		_, took, err := s.command(ctx, g.program, "check")
		if err != nil {
			return err
		}
		r.add(s.name+"_check", "s", took.Seconds())
	}
	return nil
}

// purge runs `kindred purge` on the full database while 16 clients refresh, and beside it the same clients alone
// for as long.
func (g *growth) purge(ctx context.Context, r *report) error {
	const refreshing = 16
	if _, err := g.postgres.Exec(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	quiet, err := g.full.spreadOut("purge_quiet", refreshing).measure(ctx, g.o.duration())
	if err != nil {
		return err
	}
	began, err := g.full.clock(ctx)
	if err != nil {
		return err
	}
	var took time.Duration
	var purged struct {
		Families   int      `json:"families"`
		Partitions []string `json:"partitions"`
		InUse      int      `json:"inUse"`
	}
	latencies, err := g.full.spreadOut("purge", refreshing).during(ctx, func() (err error) {
		var stdout []byte
		if stdout, took, err = g.full.command(ctx, g.program, "purge", "--json"); err != nil {
			return err
		}
		return json.Unmarshal(stdout, &purged)
	})
	if err != nil {
		return err
	}
	if purged.Families != g.o.ended || len(purged.Partitions) != 1 || purged.InUse != 0 {
		return fmt.Errorf("the purge deleted %d families of %d and dropped %v", purged.Families, g.o.ended, purged.Partitions)
	}
	r.add("purge", "s", took.Seconds())
	families, err := g.full.familiesPurged(ctx)
	if err != nil {
		return err
	}
	r.add("purge_families", "s", families.Sub(began).Seconds())
	r.add("purge_drop", "s", (took - families.Sub(began)).Seconds())
	r.add("purge_slowest_refresh", "ms", milliseconds(latencies[len(latencies)-1]))
	r.add("purge_refresh_p99", "ms", milliseconds(percentile(latencies, 99)))
	r.add("purge_refreshes", "1/s", float64(len(latencies))/took.Seconds())
	r.add("quiet_slowest_refresh", "ms", milliseconds(quiet.latencies[len(quiet.latencies)-1]))
	r.add("quiet_refresh_p99", "ms", milliseconds(percentile(quiet.latencies, 99)))
	r.add("quiet_refreshes", "1/s", quiet.rate)
	return nil
}

// familiesPurged is when the purge was done with the families: then it turned to the first partition.
func (s *side) familiesPurged(ctx context.Context) (at time.Time, err error) {
	const statement = `SELECT min(at) FROM audit_events WHERE kind = 'purged' AND detail ? 'partition'`
	if err := s.postgres.QueryRow(ctx, statement).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("read what was purged: %w", err)
	}
	return at, nil
}
