package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kindred/internal/testdb"
)

// The whole story over two processes: what one is told, the other knows at once.
func TestServe_ReuseEndsTheFamilyOnBothProcesses(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	a, b := startServing(t, serveEnvironment(db.URL())), startServing(t, serveEnvironment(db.URL()))
	other := a.login(t, "user1")
	first := a.login(t, "user1")
	second := b.refresh(t, first.field(t, "refreshToken"))
	wantStatus(t, a.get(t, "/protected", second.field(t, "accessToken")), http.StatusOK)
	db.Advance(t, 11*time.Second)

	wantStatus(t, a.refresh(t, first.field(t, "refreshToken")), http.StatusForbidden)
	for _, replica := range []*serving{a, b} {
		wantStatus(t, replica.refresh(t, second.field(t, "refreshToken")), http.StatusForbidden)
		replica.awaitStatus(t, "/protected", second.field(t, "accessToken"), http.StatusForbidden)
		wantStatus(t, replica.get(t, "/me", second.field(t, "accessToken")), http.StatusUnauthorized)
		wantStatus(t, replica.get(t, "/sessions", first.field(t, "accessToken")), http.StatusUnauthorized)
		wantStatus(t, replica.get(t, "/protected", other.field(t, "accessToken")), http.StatusOK)
	}
	wantStatus(t, b.refresh(t, other.field(t, "refreshToken")), http.StatusOK)
	for _, secret := range []string{first.field(t, "refreshToken"), first.field(t, "accessToken"), "password123", jwtSecret, refreshSecret} {
		if strings.Contains(a.logs.String()+b.logs.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
	if !strings.Contains(a.logs.String(), `"event":"reuse_detected"`) {
		t.Error("the reuse is not in the log")
	}
	if !strings.Contains(b.logs.String(), `"msg":"refresh refused","verdict":"revoked"`) {
		t.Error("why the newest token was refused is not in the log")
	}
}

// A client that goes on refreshing while PostgreSQL is stopped and started again, for longer than the
// reuse interval and with the answer to a rotation lost on the way: it sees 200 and 503 and never
// loses its session.
func TestServe_PostgreSQLRestartsUnderAClient(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"fast", "immediate"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			server := testdb.Dedicated(t)
			addUser(t, server.URL(), "user1")
			proxy := testdb.NewProxy(t, &server.DB)
			s := startServing(t, serveEnvironment(proxy.URL(), "REQUEST_TIMEOUT=2s"))
			token := s.login(t, "user1").field(t, "refreshToken")
			step := func() (status int) {
				a := s.refresh(t, token)
				switch a.status {
				case http.StatusOK:
					token = a.field(t, "refreshToken")
				case http.StatusServiceUnavailable:
					if a.header.Get("Retry-After") == "" {
						t.Error("503 without Retry-After")
					}
				default:
					t.Fatalf("the client was answered %d %s", a.status, a.body)
				}
				return a.status
			}
			for range 5 {
				step()
			}
			lost := proxy.Set(testdb.Fault{Statement: "UPDATE token_families", Answered: true, Cut: true})
			if step() != http.StatusServiceUnavailable || lost() == "" {
				t.Error("no answer was lost")
			}
			server.Stop(t, mode)
			for range 5 {
				if status := step(); status != http.StatusServiceUnavailable {
					t.Errorf("status %d while the database is away", status)
				}
			}
			wantStatus(t, s.get(t, "/readyz", ""), http.StatusServiceUnavailable)
			wantStatus(t, s.get(t, "/livez", ""), http.StatusOK)
			server.Start(t)
			server.Advance(t, time.Minute)
			deadline := time.Now().Add(30 * time.Second)
			for step() != http.StatusOK {
				if time.Now().After(deadline) {
					t.Fatal("no recovery within 30 s of the database's return")
				}
			}
			for range 5 {
				wantStatus(t, answer{status: step()}, http.StatusOK)
			}
			wantStatus(t, s.get(t, "/readyz", ""), http.StatusOK)
		})
	}
}

func TestServe_LeavesInGoodOrder(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	s := startServing(t, serveEnvironment(db.URL(), "DRAIN_DELAY=2s"))
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusOK)

	// A login that waits for its user's row is in flight when SIGTERM arrives.
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM users FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	inFlight := make(chan answer, 1)
	go func() {
		a, err := s.post(context.Background(), "/login", `{"username":"user1","password":"password123"}`)
		if err != nil {
			t.Error(err)
		}
		inFlight <- a
	}()
	awaitBlocked(t, db.Conn(t), 1)
	s.terminate(t)
	s.logs.await(t, `(draining)`)
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusServiceUnavailable) // while the listener is open
	wantStatus(t, s.get(t, "/livez", ""), http.StatusOK)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, <-inFlight, http.StatusOK)
	s.stopped(t)
}

// awaitBlocked returns once so many sessions of the database wait for a lock.
func awaitBlocked(t testing.TB, watch *pgx.Conn, sessions int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for blocked := 0; blocked < sessions; {
		err := watch.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions wait for a lock, want %d", blocked, sessions)
		}
	}
}

func TestServe_NotReadyUntilTheSchemaIsThere(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	s := startServing(t, serveEnvironment(db.URL()))
	a := s.get(t, "/readyz", "")
	wantStatus(t, a, http.StatusServiceUnavailable)
	if !strings.Contains(a.body, "kindred migrate up") {
		t.Errorf("/readyz does not say what helps: %s", a.body)
	}
	wantStatus(t, s.mustPost(t, "/login", `{"username":"user1","password":"password123"}`), http.StatusServiceUnavailable)
	if stdout, stderr, code := run(t, "", []string{"DATABASE_URL=" + db.URL()}, "migrate", "up"); code != 0 {
		t.Fatalf("migrate up: %s%s", stdout, stderr)
	}
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusOK)
}

func TestServe_RefusesBadSettingsAllAtOnce(t *testing.T) {
	t.Parallel()
	_, stderr, code := run(t, "", []string{
		"DATABASE_URL=postgres://u:s3cret@h:9x/db", "JWT_SECRET=your_jwt_secret", "JWT_REFRESH_SECRET=tooShortToBeGood", "JWT_EXPIRATION=-5",
		"FAMILY_MAX_LIFETIME=9999999999999h", "REFRESH_REUSE_INTERVAL=soon", "REGISTRATION=perhaps", "PORT=99999",
	}, "serve")
	if code == 0 {
		t.Error("exit code 0")
	}
	for _, name := range []string{"DATABASE_URL", "JWT_SECRET", "JWT_REFRESH_SECRET", "JWT_EXPIRATION", "FAMILY_MAX_LIFETIME", "REFRESH_REUSE_INTERVAL", "REGISTRATION", "PORT"} {
		if !strings.Contains(stderr, name) {
			t.Errorf("%s is not named in\n%s", name, stderr)
		}
	}
	for _, value := range []string{"your_jwt_secret", "tooShortToBeGood", "perhaps", "99999", "s3cret"} {
		if strings.Contains(stderr, value) {
			t.Errorf("the value %s is in\n%s", value, stderr)
		}
	}
}
