package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/sync/errgroup"

	"kindred/internal/family"
)

// fill is what a database is loaded with.
type fill struct {
	users       int // user0, user1, …
	crowds      int // users with many sessions: crowd0, …
	hash        string
	born        time.Time
	populations []*population
}

// Users have ids by their number, so that nothing asks for them.
func (l fill) user(n int) uuid.UUID  { return idAt(l.born, 1, uint64(n)) }
func (l fill) crowd(n int) uuid.UUID { return idAt(l.born, 2, uint64(n)) }
func (l fill) admin() uuid.UUID      { return idAt(l.born, 3, 0) }

const adminName = "admin"

// load writes all rows by COPY, on two connections, each table in the order in which it would have grown.
func (l fill) load(ctx context.Context, url string) error {
	if err := l.loadUsers(ctx, url); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, p := range l.populations {
		group.Go(func() error { return loadFamilies(ctx, url, p) })
		for _, week := range p.weeks() {
			group.Go(func() error { return loadTokens(ctx, url, p, week[0], week[1]) })
		}
	}
	return group.Wait()
}

func (l fill) loadUsers(ctx context.Context, url string) error {
	row := func(id uuid.UUID, name, role string) []any {
		return []any{pgUUID(id), name, name, l.hash, role, l.born, l.born}
	}
	columns := []string{"id", "username", "username_key", "password_hash", "role", "created_at", "password_changed_at"}
	return copyRows(ctx, url, "users", columns, l.users+l.crowds+1, func(i int) []any {
		switch {
		case i < l.users:
			return row(l.user(i), fmt.Sprintf("user%d", i), "user")
		case i < l.users+l.crowds:
			return row(l.crowd(i-l.users), fmt.Sprintf("crowd%d", i-l.users), "user")
		}
		return row(l.admin(), adminName, "admin")
	})
}

func loadFamilies(ctx context.Context, url string, p *population) error {
	const latest = generations - 1
	columns := []string{
		"id", "user_id", "client_id", "created_at", "auth_time", "expires_at", "expires_on",
		"current_token_id", "current_hash", "previous_token_id", "generation", "rotated_at", "idle_expires_at", "access_until",
		"successor_seal", "first_user_agent", "first_address", "last_user_agent", "last_address",
	}
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	// As long as one, and never opened: its parent is presented by nobody.
	seal := make([]byte, refreshLen+12+16)
	return copyRows(ctx, url, "token_families", columns, p.count, func(i int) []any {
		f := p.family(i)
		hash, rotated := p.hash(f, latest), f.issued(latest)
		rand.Read(seal)
		return []any{
			pgUUID(f.id), pgUUID(p.userOf(i)), family.DefaultClient, f.created, f.created, f.expires, f.day(),
			pgUUID(f.tokenID(latest)), hash[:], pgUUID(f.tokenID(latest - 1)), int64(latest), rotated, f.expires, earlier(rotated.Add(time.Hour), f.expires),
			seal, userAgent, address, userAgent, address,
		}
	})
}

// loadTokens loads those of the families of a week, one generation after the other: so do they lie after a life
// in which families are refreshed by turns.
func loadTokens(ctx context.Context, url string, p *population, from, to int) error {
	columns := []string{
		"id", "expires_on", "family_id", "parent_id", "token_hash", "generation", "issued_at", "expires_at", "user_agent", "address",
	}
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	families := to - from
	return copyRows(ctx, url, "refresh_tokens", columns, families*generations, func(n int) []any {
		f, generation := p.family(from+n%families), n/families
		parent := pgtype.UUID{}
		if generation > 0 {
			parent = pgUUID(f.tokenID(generation - 1))
		}
		hash := p.hash(f, generation)
		return []any{
			pgUUID(f.tokenID(generation)), f.day(), pgUUID(f.id), parent, hash[:], int64(generation), f.issued(generation), f.expires,
			userAgent, address,
		}
	})
}

// copyRows copies count rows into a table. Foreign keys are not looked at row by row: `kindred check` follows.
func copyRows(ctx context.Context, url, table string, columns []string, count int, row func(i int) []any) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `SET session_replication_role = replica`); err != nil {
		return fmt.Errorf("load %s: %w", table, err)
	}
	source := pgx.CopyFromSlice(count, func(i int) ([]any, error) { return row(i), nil })
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{table}, columns, source); err != nil {
		return fmt.Errorf("load %s: %w", table, err)
	}
	return nil
}

func pgUUID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
