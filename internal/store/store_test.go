package store_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kindred/internal/account"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

const (
	idle     = time.Hour
	access   = 5 * time.Minute
	lifetime = 24 * time.Hour
)

func open(t testing.TB, db *testdb.DB, tracer pgx.QueryTracer) *store.Store {
	t.Helper()
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 5 * time.Second, MaxLifetime: lifetime, Tracer: tracer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}

// link is a token of a chain as the test knows it.
type link struct {
	id   uuid.UUID
	hash [32]byte
}

func newLink() link {
	secret := rand.Text()
	return link{id: uuid.Must(uuid.NewV7()), hash: sha256.Sum256([]byte(secret))}
}

// login makes a user and a family of it, and returns both with the first token.
func login(t testing.TB, st *store.Store) (account.User, family.Family, link) {
	t.Helper()
	user := newUser(t, st)
	f, first := startFamily(t, st, user.ID)
	return user, f, first
}

func newUser(t testing.TB, st *store.Store) account.User {
	t.Helper()
	name, err := account.ParseUsername("user-" + rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	var user account.User
	inTx(t, st, func(ctx context.Context, tx *store.Tx) (err error) {
		user, err = tx.InsertUser(ctx, uuid.Must(uuid.NewV7()), name, account.RoleUser, "$hash$")
		return err
	})
	return user
}

func startFamily(t testing.TB, st *store.Store, userID uuid.UUID) (family.Family, link) {
	t.Helper()
	first := newLink()
	var f family.Family
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		f = familyAt(now, userID, first)
		_, err = tx.StartFamily(ctx, f)
		return err
	})
	return f, first
}

func familyAt(now time.Time, userID uuid.UUID, first link) family.Family {
	expires := now.Add(lifetime)
	year, month, day := expires.UTC().Date()
	return family.Family{
		ID: uuid.Must(uuid.NewV7()), UserID: userID, ClientID: family.DefaultClient,
		CreatedAt: now, AuthTime: now, RotatedAt: now, ExpiresAt: expires,
		ExpiresOn:      time.Date(year, month, day, 0, 0, 0, 0, time.UTC),
		CurrentTokenID: first.id, CurrentHash: first.hash,
		IdleExpiresAt: now.Add(idle), AccessUntil: now.Add(access),
		FirstUserAgent: "test/1", FirstAddress: netip.MustParseAddr("192.0.2.1"),
	}
}

func inTx(t testing.TB, st *store.Store, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := st.InTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func rotation(f family.Family, from, to link) store.Rotation {
	return store.Rotation{
		FamilyID: f.ID, TokenID: from.id, TokenHash: from.hash, ClientID: f.ClientID,
		ChildID: to.id, ChildHash: to.hash, Seal: []byte("sealed"), UserAgent: "test/2",
		Address: netip.MustParseAddr("2001:db8::7"), IdleLifetime: idle, AccessLifetime: access,
	}
}

func rotate(t testing.TB, st *store.Store, f family.Family, from link) link {
	t.Helper()
	to := newLink()
	if _, ok, err := st.RotateFamily(t.Context(), rotation(f, from, to)); err != nil || !ok {
		t.Fatalf("rotated %v, error %v", ok, err)
	}
	return to
}

func read(t testing.TB, st *store.Store, id uuid.UUID) family.Family {
	t.Helper()
	var f family.Family
	inTx(t, st, func(ctx context.Context, tx *store.Tx) (err error) {
		f, err = tx.LockFamily(ctx, id)
		return err
	})
	return f
}

func wantNoViolation(t testing.TB, st *store.Store) {
	t.Helper()
	violations, err := st.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Errorf("invariant %s is broken: %s", v.Invariant, v.Detail)
	}
}

// statements counts what goes over the wire.
type statements struct {
	mu   sync.Mutex
	list []string
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, data.SQL)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}
