package testdb

import (
	"context"
	"fmt"
	"testing"
)

// Server is a PostgreSQL of one test's own, with one migrated database on a movable clock: the one
// that URL names.
type Server struct {
	DB
	host host
}

// Dedicated starts a PostgreSQL that this test may stop and start; it ends with the test. It comes
// from where the other databases come from, or from this machine's programs, else a container, when that
// is TEST_DATABASE_URL, whose server is not ours to stop. settings, each name=value, come after the usual ones.
func Dedicated(t testing.TB, settings ...string) *Server {
	t.Helper()
	// The test's context ends before its cleanups, the server after them.
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	h, err := dedicatedHost(ctx, sharedServer(t).host.from, settings...)
	if err != nil {
		t.Fatalf("testdb: this test stops and starts PostgreSQL, so it needs a server of its own: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := h.stop(ctx); err != nil {
			t.Errorf("testdb: %v", err)
		}
	})
	const name = "dedicated"
	if err := execOn(ctx, h.url, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("testdb: create a database: %v", err)
	}
	s := &Server{host: h}
	s.url = databaseURL(h.url, name)
	if err := migrateTemplate(ctx, s.url); err != nil {
		t.Fatalf("testdb: %v", err)
	}
	exec(t, s.url, "setting the search path", searchPathSQL)
	return s
}

func dedicatedHost(ctx context.Context, from string, settings ...string) (host, error) {
	if from != fromURL {
		return hostFrom(ctx, from, settings...)
	}
	h, programsErr := hostFrom(ctx, fromPrograms, settings...)
	if programsErr == nil {
		return h, nil
	}
	h, containerErr := hostFrom(ctx, fromContainer, settings...)
	if containerErr == nil {
		return h, nil
	}
	return host{}, fmt.Errorf("local: %w; container: %w", programsErr, containerErr)
}

// Stop ends the server, "fast" (sessions are cut, a checkpoint is written) or "immediate" (like a
// crash), and returns when it is gone.
func (s *Server) Stop(t testing.TB, how string) {
	t.Helper()
	if how != "fast" && how != "immediate" {
		t.Fatalf("testdb: Stop(%q), want fast or immediate", how)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.host.halt(ctx, how == "immediate"); err != nil {
		t.Fatalf("testdb: %v", err)
	}
}

// Start starts the stopped server again, at the same address, and returns when it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.host.resume(ctx); err != nil {
		t.Fatalf("testdb: %v", err)
	}
}
