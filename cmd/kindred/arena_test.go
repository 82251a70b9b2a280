package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"index/suffixarray"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/family"
	"kindred/internal/testdb"
)

// The users of a race, both with the first password.
const (
	racer, onlooker               = "racer", "onlooker"
	firstPassword, secondPassword = "quiet lantern nine rivers", "a slow green ferry at noon"
)

// tokens are what a login or a refresh hands out; the zero value stands for a refusal.
type tokens struct{ AccessToken, RefreshToken string }

type outcome struct {
	answer
	tokens
}

// arena is two processes of the real binary on one database. It keeps what they ever handed out and
// holds that against the database after each round.
type arena struct {
	t        testing.TB
	db       *testdb.DB
	watch    *pgx.Conn // looks past the product
	gate     *pgx.Conn // holds rows, so that others wait
	beside   *server   // a replica in this process, for what operators do
	a, b     *serving  // the processes; they change places
	reversed bool      // what starts together starts in reverse order

	ops [2]*serving // where the processes tell figures

	mu           sync.Mutex
	handedOut    map[[32]byte]string // refresh tokens by their hash
	accessTokens []string
	resetTokens  []string
}

func newArena(t testing.TB, settings ...string) *arena {
	t.Helper()
	db := testdb.New(t)
	// The longest interval: a replay is one, however slow the machine.
	environ := serveEnvironment(db.URL(), append(settings, "REFRESH_REUSE_INTERVAL=60", "HASH_SLOTS=8")...)
	beside := replicaBeside(t, environ)
	for _, name := range []string{racer, onlooker} {
		if _, err := beside.service.CreateUser(t.Context(), operator, name, firstPassword, account.RoleUser); err != nil {
			t.Fatal(err)
		}
	}
	r := &arena{t: t, db: db, watch: db.Conn(t), gate: db.Conn(t), beside: beside, handedOut: map[[32]byte]string{}}
	r.a, r.ops[0] = startWatched(t, environ)
	r.b, r.ops[1] = startWatched(t, environ)
	return r
}

var operator = auth.Caller{Actor: audit.ByCLI}

// run runs the rounds of a race. A family of the bystander lives through all of them; after each the
// database holds every acknowledged token and no other, and at the end no secret in clear.
func (r *arena) run(rounds int, bystander string, round func(r *arena)) {
	r.t.Helper()
	living := r.begin(r.a, bystander, firstPassword)
	for i := range rounds {
		r.a, r.b = r.b, r.a
		r.reversed = i/2%2 == 1
		round(r)
		living = r.next(r.a, living)
		r.wantAlive(living)
		r.wantWhatWasHandedOut()
		if r.t.Failed() {
			r.t.Fatalf("in round %d", i+1)
		}
	}
	r.wantNoSecretInClear()
}

// together starts all acts at once. Until they are done, and once more then, it looks whether the
// invariants hold.
func (r *arena) together(acts ...func()) {
	r.t.Helper()
	if r.reversed {
		slices.Reverse(acts)
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for last := false; !last; {
			select {
			case <-over:
				last = true
			default:
			}
			r.wantInvariants()
		}
	})
	var ready, done sync.WaitGroup
	ready.Add(len(acts))
	for _, act := range acts {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			act()
		})
	}
	done.Wait()
	close(over)
	watching.Wait()
}

// lineUp holds all users' rows and lets the acts queue for them, one after the other. open lets them
// through and waits for them.
func (r *arena) lineUp(acts ...func()) (open func()) {
	r.t.Helper()
	if r.reversed {
		slices.Reverse(acts)
	}
	release := r.hold(`SELECT FROM users FOR UPDATE`)
	var done sync.WaitGroup
	for i, act := range acts {
		done.Go(act)
		awaitBlocked(r.t, r.watch, i+1)
	}
	return func() { release(); done.Wait() }
}

// hold keeps the locks of a statement until release.
func (r *arena) hold(statement string) (release func()) {
	r.t.Helper()
	tx, err := r.gate.Begin(r.t.Context())
	if err == nil {
		_, err = tx.Exec(r.t.Context(), statement)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(r.t.Context()); err != nil {
			r.t.Error(err)
		}
	}
}

// ask may be called from any goroutine. A 200 is an acknowledgement, and kept.
func (r *arena) ask(s *serving, path, body string) outcome {
	a, err := s.post(r.t.Context(), path, body)
	if err != nil {
		r.t.Error(err)
	}
	if a.status != http.StatusOK {
		return outcome{answer: a}
	}
	var handed tokens
	if err := json.Unmarshal([]byte(a.body), &handed); err != nil || handed.AccessToken == "" || handed.RefreshToken == "" {
		r.t.Errorf("%s answered %s", path, a.body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handedOut[sha256.Sum256([]byte(handed.RefreshToken))] = handed.RefreshToken
	r.accessTokens = append(r.accessTokens, handed.AccessToken)
	return outcome{a, handed}
}

func (r *arena) login(s *serving, name, password string) outcome {
	return r.ask(s, "/login", `{"username":"`+name+`","password":"`+password+`"}`)
}

func (r *arena) refresh(s *serving, of tokens) outcome {
	return r.ask(s, "/token", refreshBody(of.RefreshToken))
}

// begin and next are a login and a refresh that must succeed.
func (r *arena) begin(s *serving, name, password string) tokens {
	r.t.Helper()
	return r.mustBeOK(r.login(s, name, password))
}

func (r *arena) next(s *serving, of tokens) tokens {
	r.t.Helper()
	return r.mustBeOK(r.refresh(s, of))
}

func (r *arena) mustBeOK(o outcome) tokens {
	r.t.Helper()
	if o.status != http.StatusOK {
		r.t.Fatalf("status %d: %s", o.status, o.body)
	}
	return o.tokens
}

// wantOneOf checks an answer that depends on who was first.
func (r *arena) wantOneOf(o outcome, statuses ...int) {
	r.t.Helper()
	if !slices.Contains(statuses, o.status) {
		r.t.Errorf("status %d, want one of %d: %s", o.status, statuses, o.body)
	}
}

func (r *arena) wantAlive(sessions ...tokens) {
	r.t.Helper()
	for _, s := range sessions {
		wantStatus(r.t, r.a.get(r.t, "/protected", s.AccessToken), http.StatusOK)
		wantStatus(r.t, r.b.get(r.t, "/protected", s.AccessToken), http.StatusOK)
	}
}

// wantEnded checks that nothing of the sessions works in either process, and why they ended. Refresh
// tokens are refused at once, access tokens once the feed has told.
func (r *arena) wantEnded(why family.Reason, sessions ...tokens) {
	r.t.Helper()
	for _, s := range sessions {
		if s == (tokens{}) {
			continue
		}
		for _, process := range []*serving{r.a, r.b} {
			wantStatus(r.t, r.refresh(process, s).answer, http.StatusForbidden)
			process.awaitStatus(r.t, "/protected", s.AccessToken, http.StatusForbidden)
		}
		reason := look[string](r, `SELECT coalesce(revoked_reason, '') FROM token_families WHERE id = (`+familyOf+`)`, hashOf(s))
		if reason != string(why) {
			r.t.Errorf("the family ended by %q, want %q", reason, why)
		}
	}
}

const familyOf = `SELECT family_id FROM refresh_tokens WHERE token_hash = $1`

func hashOf(s tokens) []byte {
	hash := sha256.Sum256([]byte(s.RefreshToken))
	return hash[:]
}

// events counts the events of one kind in the trail of a session's family.
func (r *arena) events(of tokens, kind audit.Kind) int {
	r.t.Helper()
	return look[int](r, `SELECT count(*) FROM audit_events WHERE family_id = (`+familyOf+`) AND kind = $2`, hashOf(of), kind)
}

// look reads one value past the product.
func look[T any](r *arena, statement string, args ...any) (value T) {
	r.t.Helper()
	if err := r.watch.QueryRow(r.t.Context(), statement, args...).Scan(&value); err != nil {
		r.t.Fatal(err)
	}
	return value
}

// wantInvariants looks for violations of I1 to I5 in one snapshot.
func (r *arena) wantInvariants() {
	r.t.Helper()
	violations, err := r.beside.store.Check(r.t.Context())
	if err != nil {
		r.t.Error(err)
	}
	for _, v := range violations {
		r.t.Errorf("invariant %s is broken: %s", v.Invariant, v.Detail)
	}
}

// wantWhatWasHandedOut: every acknowledged token stands (I6), and no request left one that was
// refused (I9).
func (r *arena) wantWhatWasHandedOut() {
	r.t.Helper()
	var hashes [][]byte
	for hash := range r.handedOut {
		hashes = append(hashes, hash[:])
	}
	var lost, unknown int
	err := r.watch.QueryRow(r.t.Context(), `
		SELECT count(*) FILTER (WHERE t.id IS NULL), count(*) FILTER (WHERE known.token_hash IS NULL)
		  FROM unnest($1::bytea[]) AS known (token_hash) FULL JOIN refresh_tokens t ON t.token_hash = known.token_hash`, hashes).Scan(&lost, &unknown)
	if err != nil || lost != 0 || unknown != 0 {
		r.t.Errorf("of %d tokens that were handed out %d do not stand, and %d stand that were not; error %v", len(hashes), lost, unknown, err)
	}
}

// wantNoSecretInClear searches the whole database, both logs and figures (I7), for the tokens' random parts
// also as a row's bytes are printed.
func (r *arena) wantNoSecretInClear() {
	r.t.Helper()
	secrets := append([]string{firstPassword, secondPassword, jwtSecret, refreshSecret}, r.accessTokens...)
	secrets = append(secrets, r.resetTokens...)
	for _, wire := range r.handedOut {
		const mac, random = 16, 32
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(wire, "krt_"))
		if err != nil {
			r.t.Fatal(err)
		}
		end := len(raw) - mac
		secrets = append(secrets, wire, hex.EncodeToString([]byte(wire)), hex.EncodeToString(raw[end-random:end]))
	}
	everything := suffixarray.New([]byte(r.dump() + r.a.logs.String() + r.b.logs.String() + r.ops[0].metrics(r.t) + r.ops[1].metrics(r.t)))
	for _, secret := range secrets {
		if len(everything.Lookup([]byte(secret), 1)) != 0 {
			r.t.Fatalf("%.8s… stands in clear in the database, a log or in figures", secret)
		}
	}
}

// dump is each row of each table, as text.
func (r *arena) dump() string {
	r.t.Helper()
	tables := look[[]string](r, `SELECT array_agg(oid::regclass::text) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	var all strings.Builder
	for _, table := range tables {
		all.WriteString(look[string](r, `SELECT coalesce(string_agg(t::text, E'\n'), '') FROM `+table+` t`))
	}
	return all.String()
}

// state is all that a retry could observe: everything but the trail.
func (r *arena) state() string {
	r.t.Helper()
	return look[string](r, `
		SELECT (SELECT jsonb_agg(f ORDER BY f.id) FROM token_families f)::text
		    || (SELECT jsonb_agg(t ORDER BY t.id) FROM refresh_tokens t)::text
		    || (SELECT jsonb_agg(u ORDER BY u.id) FROM users u)::text`)
}

// awaitIdle returns once no session of the product does anything any more.
func (r *arena) awaitIdle() {
	r.t.Helper()
	const busy = `
		SELECT count(*) FROM pg_stat_activity
		 WHERE datname = current_database() AND application_name = 'kindred' AND state <> 'idle'`
	deadline := time.Now().Add(time.Minute)
	for look[int](r, busy) != 0 {
		if time.Now().After(deadline) {
			r.t.Fatal("the product's sessions do not come to rest")
		}
	}
}
