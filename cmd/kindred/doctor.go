package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/config"
	"kindred/internal/store"
)

// finding is what doctor says of one thing.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"` // what helps
}

// level tells how bad a finding is. Only a problem makes doctor fail.
type level string

const (
	levelOK      level = "ok"
	levelNote    level = "note" // worth a decision
	levelWarning level = "warning"
	levelProblem level = "problem"
)

func newDoctor(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine settings, database, keys and feed, and say what is wrong and what to do",
		Long: "Examines what `kindred serve` would work with, by the same settings and as the same role. It changes nothing.\n" +
			"Exit code 0 if there is no problem, 1 if there is one; warnings and notes are told and count for nothing.",
		Args: cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		problems := 0
		for _, f := range examine(cmd.Context(), p, time.Now()) {
			if f.Level == levelProblem {
				problems++
			}
			words := fmt.Sprintf("%-8s %-13s %s\n", f.Level, f.Check, visibly(f.What))
			if f.Do != "" {
				words += fmt.Sprintf("%-22s → %s\n", "", visibly(f.Do))
			}
			if err := out.print(f, "%s", words); err != nil {
				return err
			}
		}
		if problems > 0 {
			return fmt.Errorf("problems found: %d", problems)
		}
		return nil
	}
	return cmd
}

// examination collects findings.
type examination struct {
	findings []finding
	now      time.Time // by this machine
	cfg      config.Config
	valid    bool // cfg is one to serve with

	unverified bool // a way to the database, and that was said
	store      *store.Store
	server     store.Server
}

func (e *examination) say(check string, l level, what, do string) {
	e.findings = append(e.findings, finding{check, l, what, do})
}

// examine looks at everything that it can: what cannot be reached leaves out what depends on it.
func examine(ctx context.Context, p process, now time.Time) []finding {
	const limit = 30 * time.Second // of a database that accepts connections and says nothing
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	e := &examination{now: now}
	e.settings(p)
	e.certificate(p)
	url, pooled, err := config.LoadDatabase(p.settings())
	if err != nil {
		return e.findings // told with the settings
	}
	lifetime, timeout := 720*time.Hour, 5*time.Second
	if e.valid {
		lifetime, timeout = e.cfg.FamilyMaxLifetime, e.cfg.RequestTimeout
	}
	e.store, err = store.Open(store.Config{URL: url.Reveal(), Pooled: pooled, MaxConns: 2, RequestTimeout: timeout, MaxLifetime: lifetime})
	if err != nil {
		e.say("database", levelProblem, "DATABASE_URL cannot be used", "see the settings")
		return e.findings
	}
	defer e.store.Close()
	if e.reach(ctx) {
		e.role(ctx)
		e.durability()
		e.sessions(ctx)
		e.clock(ctx)
		if e.schema(ctx) {
			e.installation(ctx)
			e.partitions(ctx, lifetime)
			e.feed(ctx)
			e.keys(ctx)
		}
	}
	return e.findings
}

// trouble says that a check could not be made.
func (e *examination) trouble(check string, err error) {
	do := "see what the database's log says"
	if errors.Is(err, context.DeadlineExceeded) {
		do = "the database was too slow; try again"
	}
	e.say(check, levelProblem, "could not be examined: "+err.Error(), do)
}
