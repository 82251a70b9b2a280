package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kindred/internal/testdb"
)

func TestMetrics_SayWhatBecameOfRefreshes(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	s, ops := startWatched(t, serveEnvironment(db.URL()))
	first := s.login(t, "user1").field(t, "refreshToken")
	second := s.refresh(t, first).field(t, "refreshToken")
	wantStatus(t, s.refresh(t, first), http.StatusOK)
	s.refresh(t, second)
	wantStatus(t, s.refresh(t, first), http.StatusForbidden)
	wantStatus(t, s.refresh(t, second), http.StatusForbidden)
	wantStatus(t, s.refresh(t, "krt_forged"), http.StatusForbidden)
	old := s.login(t, "user1").field(t, "refreshToken")
	db.Advance(t, 25*time.Hour)
	wantStatus(t, s.refresh(t, old), http.StatusForbidden)

	figures := ops.metrics(t)
	for _, want := range []string{
		`kindred_refreshes_total{verdict="rotated"} 2`, `kindred_refreshes_total{verdict="replayed"} 1`,
		`kindred_refreshes_total{verdict="reused"} 1`, `kindred_refreshes_total{verdict="revoked"} 1`,
		`kindred_refreshes_total{verdict="foreign"} 1`, `kindred_refreshes_total{verdict="idle"} 1`,
		`kindred_refreshes_total{verdict="expired"} 0`, `kindred_refreshes_total{verdict="token_lost"} 0`,
		`kindred_families_revoked_total{reason="reuse_detected"} 1`, `kindred_families_revoked_total{reason="logout"} 0`,
		`kindred_audit_events_total{kind="login_ok"} 2`, `kindred_audit_events_total{kind="grace_replay"} 1`,
		`kindred_http_requests_total{route="/token",status="200"} 3`, `kindred_http_requests_total{route="/token",status="403"} 4`,
		`kindred_http_request_duration_seconds_count{route="/login"} 2`, `kindred_rotation_group_size_count 6`,
		`kindred_feed_fresh 1`, `kindred_hashes_refused_total 0`, `kindred_maintenance_failures_total 0`,
	} {
		if !strings.Contains(figures, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if t.Failed() {
		t.Log(figures)
	}
}

// Whatever a stranger sends, no series is made of it: not of a path, a method, a name, a header or a client.
func TestMetrics_NoLabelThatAUserCanChoose(t *testing.T) {
	t.Parallel()
	s, ops := startWatched(t, serveEnvironment(testdb.New(t).URL()))
	const mine = "stranger7731"
	for _, path := range []string{"/" + mine, "/sessions/" + mine, "/verify/" + mine, "/livez?" + mine} {
		for _, method := range []string{http.MethodGet, strings.ToUpper(mine)} {
			request, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(mine))
			if err != nil {
				t.Fatal(err)
			}
			for _, header := range []string{"User-Agent", "X-Request-Id", "Origin", "Cookie", "Traceparent", "Forwarded"} {
				request.Header.Set(header, mine)
			}
			request.SetBasicAuth(mine, mine)
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}
	s.mustPost(t, "/login", `{"username":"`+mine+`","password":"`+mine+`","clientId":"`+mine+`"}`)
	s.mustPost(t, "/token", `{"refreshToken":"`+mine+`"}`)
	if figures := ops.metrics(t); strings.Contains(strings.ToLower(figures), mine) {
		t.Errorf("what a stranger sent is in the figures:\n%s", figures)
	}
}

// A scrape asks nobody: a database that is away neither holds it up nor empties it.
func TestMetrics_AreThereWhileTheDatabaseIsNot(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	if _, err := db.Conn(t).Exec(t.Context(), `ANALYZE token_families`); err != nil {
		t.Fatal(err)
	}
	proxy := testdb.NewProxy(t, db)
	s, ops := startWatched(t, serveEnvironment(proxy.URL(), "REQUEST_TIMEOUT=1s"))
	ops.awaitMetric(t, "kindred_families_alive 0")
	proxy.Swallow()
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusServiceUnavailable)
	figures := ops.metrics(t)
	for _, want := range []string{"kindred_families_alive 0", `kindred_http_requests_total{route="/readyz",status="503"} 1`} {
		if !strings.Contains(figures, "\n"+want+"\n") {
			t.Errorf("no line %s in\n%s", want, figures)
		}
	}
}

func (s *serving) metrics(t testing.TB) string {
	t.Helper()
	a := s.get(t, "/metrics", "")
	wantStatus(t, a, http.StatusOK)
	return a.body
}

// awaitMetric scrapes until there is a line that begins so.
func (s *serving) awaitMetric(t testing.TB, line string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(s.metrics(t), "\n"+line); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s in\n%s", line, s.metrics(t))
		}
	}
}
