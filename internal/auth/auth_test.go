package auth_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/password"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

const (
	interval = 10 * time.Second
	idle     = time.Hour
	lifetime = 24 * time.Hour
	access   = 5 * time.Minute

	secret       = "refresh secret of the tests, long enough"
	userPassword = "correct horse battery"
)

// replica is a Service with a store of its own, as one process of several has it.
type replica struct {
	*auth.Service
	statements *statements
	hasher     *password.Hasher
	store      *store.Store
	blacklist  *revocation.Set
	fed        bool // a feed keeps the blacklist; else each check asks the database
}

type option func(*auth.Config, *[]string)

// withSecrets sets the refresh secrets: the current one and those still accepted.
func withSecrets(secrets ...string) option {
	return func(_ *auth.Config, s *[]string) { *s = secrets }
}

func newReplica(t testing.TB, db *testdb.DB, options ...option) replica {
	t.Helper()
	return newReplicaAt(t, db, db.URL(), options...)
}

// newReplicaAt reaches the database by a way of its own.
func newReplicaAt(t testing.TB, db *testdb.DB, url string, options ...option) replica {
	t.Helper()
	config, secrets := testConfig(), []string{secret}
	for _, o := range options {
		o(&config, &secrets)
	}
	keys, err := token.NewHS256Keys([]byte("access secret of the tests, long enough"))
	if err != nil {
		t.Fatal(err)
	}
	return join(t, url, config, newSecrets(t, db, secrets, keys), revocation.NewSet(time.Now))
}

func testConfig() auth.Config {
	return auth.Config{
		ReuseInterval: interval, IdleLifetime: idle, MaxLifetime: lifetime, AccessLifetime: access,
		RegistrationOpen: true, NameKey: []byte("name key"), GuessKey: []byte("guess key"), Passwords: account.AnyPassword(), PublicURL: "https://id.example",
	}
}

// join makes a replica of its parts.
func join(t testing.TB, url string, config auth.Config, secrets auth.Secrets, blacklist *revocation.Set) replica {
	t.Helper()
	counted := &statements{}
	st, err := store.Open(store.Config{URL: url, RequestTimeout: 5 * time.Second, MaxLifetime: lifetime, Tracer: counted})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	service := auth.New(config, st, blacklist, secrets, slog.New(slog.DiscardHandler))
	return replica{Service: service, statements: counted, hasher: secrets.Hasher, store: st, blacklist: blacklist}
}

// feed starts the feed of a replica, by a way of its own, and returns the replica once it has read.
func (r replica) feed(t testing.TB, url string) replica {
	t.Helper()
	feed, err := revocation.NewFeed(revocation.Config{
		Follow: store.FollowConfig{URL: url, Listen: true}, Server: r.store.Server, KeysChanged: r.LoadKeys, Log: slog.New(slog.DiscardHandler),
	}, r.blacklist)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { feed.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	r.fed = true
	r.hear(t)
	return r
}

// hear waits until the replica knows all that was revoked before the call.
func (r replica) hear(t testing.TB) {
	t.Helper()
	if !r.fed {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.blacklist.Next(ctx); err != nil {
		t.Fatalf("the feed does not read: %v", err)
	}
}

func newSecrets(t testing.TB, db *testdb.DB, refresh []string, keys *token.Keys) auth.Secrets {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// The cheapest hash: what these tests ask does not depend on its cost.
	hasher, err := password.New(password.Config{Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}, Slots: 32})
	must(err)
	var previous [][]byte
	for _, s := range refresh[1:] {
		previous = append(previous, []byte(s))
	}
	codec, err := token.NewRefreshCodec([]byte(refresh[0]), previous...)
	must(err)
	devices, err := token.NewDeviceCodec([]byte(refresh[0]), previous...)
	must(err)
	config := token.AccessConfig{Issuer: "https://id.example", Audience: "https://id.example", Keys: keys, Now: db.Now}
	issuer, err := token.NewIssuer(config)
	must(err)
	verifier, err := token.NewVerifier(config)
	must(err)
	return auth.Secrets{Hasher: hasher, Codec: codec, Devices: devices, Issuer: issuer, Verifier: verifier, Keys: keys}
}

// caller has an address and a user agent, with bytes that no row may hold.
var caller = auth.Caller{RequestID: "request-1", Address: netip.MustParseAddr("192.0.2.1"), UserAgent: "test\x00/1\xff\r\n"}

func (r replica) addUser(t testing.TB, name string) account.User {
	t.Helper()
	user, err := r.CreateUser(t.Context(), caller, name, userPassword, account.RoleUser)
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func (r replica) login(t testing.TB, name string) auth.Tokens {
	t.Helper()
	tokens, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: name, Password: userPassword})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func (r replica) refresh(t testing.TB, refreshToken string) auth.Tokens {
	t.Helper()
	tokens, err := r.Refresh(t.Context(), caller, refreshToken, auth.ClientCredentials{})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func (r replica) wantRefused(t testing.TB, refreshToken string) {
	t.Helper()
	if _, err := r.Refresh(t.Context(), caller, refreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("refresh: error %v, want ErrInvalidRefreshToken", err)
	}
}

func (r replica) wantSignedIn(t testing.TB, tokens auth.Tokens) auth.Identity {
	t.Helper()
	who, err := r.Authenticate(t.Context(), tokens.AccessToken)
	if err != nil {
		t.Errorf("authenticate: %v", err)
	}
	return who
}

func (r replica) wantSignedOut(t testing.TB, tokens auth.Tokens) {
	t.Helper()
	r.hear(t)
	if _, err := r.Authenticate(t.Context(), tokens.AccessToken); !errors.Is(err, auth.ErrInvalidAccessToken) {
		t.Errorf("authenticate: error %v, want ErrInvalidAccessToken", err)
	}
}

func (r replica) wantInvariants(t testing.TB) {
	t.Helper()
	violations, err := r.store.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Errorf("invariant %s is broken: %s", v.Invariant, v.Detail)
	}
}

// events lists the kinds of the audit trail in their order.
func events(t testing.TB, db *testdb.DB) []string {
	t.Helper()
	rows, err := db.Conn(t).Query(t.Context(), `SELECT kind FROM audit_events ORDER BY at, id`)
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// one reads a single value.
func one[T any](t testing.TB, db *testdb.DB, statement string, args ...any) T {
	t.Helper()
	var value T
	if err := db.Conn(t).QueryRow(t.Context(), statement, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// state is all that a retry could observe: everything but the audit trail.
func state(t testing.TB, db *testdb.DB) string {
	t.Helper()
	return one[string](t, db, stateStatement)
}

const stateStatement = `
	SELECT (SELECT coalesce(jsonb_agg(f ORDER BY f.id), '[]')::text FROM token_families f)
	    || (SELECT coalesce(jsonb_agg(r ORDER BY r.id), '[]')::text FROM refresh_tokens r)
	    || (SELECT coalesce(jsonb_agg(u ORDER BY u.id), '[]')::text FROM users u)
	    || (SELECT coalesce(jsonb_agg(c ORDER BY c.id), '[]')::text FROM clients c)
	    || (SELECT coalesce(jsonb_agg(p ORDER BY p.user_id), '[]')::text FROM password_resets p)
	    || (SELECT coalesce(jsonb_agg(v ORDER BY v.id), '[]')::text FROM revocations v)`

// whileBlocked runs act in the background, waits until a session of the database waits for a lock,
// and then runs release.
func whileBlocked(t testing.TB, db *testdb.DB, act, release func()) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(act)
	watch := db.Conn(t)
	deadline := time.Now().Add(10 * time.Second)
	for {
		var blocked bool
		err := watch.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0)`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
		if blocked {
			break
		}
		if time.Now().After(deadline) {
			t.Error("nothing waits for a lock")
			break
		}
	}
	release()
	wg.Wait()
}

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

func familyOf(t testing.TB, r replica, tokens auth.Tokens) uuid.UUID {
	t.Helper()
	return r.wantSignedIn(t, tokens).SessionID
}

// familyIDOf reads the family out of a refresh token, dead or alive.
func familyIDOf(t testing.TB, tokens auth.Tokens) uuid.UUID {
	t.Helper()
	codec, err := token.NewRefreshCodec([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := codec.Parse(tokens.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.FamilyID
}

// forge makes a token whose MAC is right but that was never handed out.
func forge(t testing.TB, wire string, newID bool) string {
	t.Helper()
	codec, err := token.NewRefreshCodec([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := codec.Parse(wire)
	if err != nil {
		t.Fatal(err)
	}
	id := parsed.TokenID
	if newID {
		id = uuid.New()
	}
	forged, err := codec.Mint(parsed.FamilyID, id, parsed.Generation, parsed.ExpiresOn)
	if err != nil {
		t.Fatal(err)
	}
	return forged.Reveal()
}

func wantContains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %s", part, text)
		}
	}
}
