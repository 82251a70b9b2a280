package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// cost starts one more server, as an operator would, against the database that runs, and says how soon it
// is ready and what memory it takes once it has had nothing to do for d.
func (b *bench) cost(ctx context.Context, d time.Duration, r *report) error {
	s, err := startServer(ctx, b.dir, "fresh", b.environ, b.program, "serve")
	if err != nil {
		return err
	}
	defer s.stop()
	ready, err := s.awaitReady(ctx)
	if err != nil {
		return fmt.Errorf("start to ready: %w", err)
	}
	r.add("start_to_ready", "ms", milliseconds(ready))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
	}
	if s.memory != nil {
		idle, err := s.memory.resident()
		if err != nil {
			return fmt.Errorf("memory idle: %w", err)
		}
		r.add("memory_idle", "MB", idle)
	}
	binary, err := os.Stat(b.program)
	if err != nil {
		return err
	}
	r.add("binary", "MB", float64(binary.Size())/1e6)
	return nil
}

// awaitReady returns how long it took from the start of the process to the first 200 of /readyz.
func (s *server) awaitReady(ctx context.Context) (time.Duration, error) {
	const patience = 30 * time.Second
	c, err := dial(ctx, s.address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	for {
		_, err := c.get("/readyz", "")
		took := time.Since(s.began)
		var refused *statusError
		if err == nil || !errors.As(err, &refused) || took > patience {
			return took, err
		}
		time.Sleep(awaitPause)
	}
}
