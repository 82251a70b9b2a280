package testdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"kindred/migrations"
)

// server is the PostgreSQL that the tests of one process share, with its migrated template.
type server struct {
	host     host
	template string
	prefix   string // of the names of all our databases
	count    atomic.Int64
	mu       sync.Mutex // copies of one template wait for each other in PostgreSQL: let them wait here
}

// The first test that needs a server starts it and the last thing of the process ends it; New is
// given nothing that could carry it from the one to the other.
var shared sharedState

type sharedState struct {
	mu      sync.Mutex
	allowed bool
	tried   bool
	server  *server
	err     error
}

func (s *sharedState) allow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = true
}

// start returns the one server; the first call starts it. A failure is final: each test of the
// process tells the same, and none tries again.
func (s *sharedState) start() (*server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.allowed {
		return nil, errors.New("TestMain does not call testdb.Run, so nobody would end the server")
	}
	if !s.tried {
		s.tried = true
		// No test's own context: the server outlives the test that came first.
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		defer cancel()
		s.server, s.err = startServer(ctx)
	}
	return s.server, s.err
}

func (s *sharedState) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = false
	if s.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return s.server.stop(ctx)
}

func startServer(ctx context.Context) (*server, error) {
	h, err := findHost(ctx)
	if err != nil {
		return nil, err
	}
	s, err := prepare(ctx, h)
	if err != nil {
		return nil, errors.Join(err, h.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// prepare makes the template that the tests' databases are copied from.
func prepare(ctx context.Context, h host) (*server, error) {
	stamp := time.Now().UTC().Format(stampLayout)
	s := &server{host: h, prefix: namePrefix + stamp + "_" + strings.ToLower(rand.Text()[:8]) + "_"}
	name, err := s.create(ctx, "")
	if err != nil {
		return nil, err
	}
	s.template = name
	if err := migrateTemplate(ctx, databaseURL(h.url, name)); err != nil {
		return nil, errors.Join(err, s.drop(ctx, name))
	}
	return s, nil
}

func migrateTemplate(ctx context.Context, url string) error {
	if err := migrations.Up(ctx, url, func(string) {}, func(string) {}); err != nil {
		return fmt.Errorf("migrate the template: %w", err)
	}
	if err := execOn(ctx, url, clockSQL); err != nil {
		return fmt.Errorf("make the test clock: %w", err)
	}
	return nil
}

// create makes a database and returns its name; template may be empty.
func (s *server) create(ctx context.Context, template string) (string, error) {
	name := fmt.Sprintf("%s%d", s.prefix, s.count.Add(1))
	sql := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		// The default writes the copy to the log, page by page: three times slower for a small one.
		sql += " TEMPLATE " + pgx.Identifier{template}.Sanitize() + " STRATEGY file_copy"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := execOn(ctx, s.host.url, sql); err != nil {
		return "", fmt.Errorf("create a database: %w", err)
	}
	return name, nil
}

func (s *server) drop(ctx context.Context, name string) error {
	// FORCE: what a test left connected must not keep its database.
	sql := "DROP DATABASE IF EXISTS " + pgx.Identifier{name}.Sanitize() + " WITH (FORCE)"
	if err := execOn(ctx, s.host.url, sql); err != nil {
		return fmt.Errorf("drop a database: %w", err)
	}
	return nil
}

func (s *server) stop(ctx context.Context) error {
	return errors.Join(s.drop(ctx, s.template), s.host.stop(ctx))
}
