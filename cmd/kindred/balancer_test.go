//go:build balancer

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// traffic is a number of sessions that go on refreshing through the balancer, with visitors who come and go.
type traffic struct {
	t        *testing.T
	front    *serving
	idle     chan *tokens // sessions that nobody is using just now
	requests sync.WaitGroup

	mu       sync.Mutex
	count    map[string]int
	failures []string
}

const trafficUsers, trafficSessions = 4, 60

func newTraffic(t *testing.T, front *serving) *traffic {
	t.Helper()
	x := &traffic{t: t, front: front, idle: make(chan *tokens, trafficSessions), count: map[string]int{}}
	for i := range trafficSessions {
		session := x.login(i)
		if session == nil {
			t.Fatal(x.failures)
		}
		x.idle <- session
	}
	return x
}

// flow sends a hundred requests a second until ctx ends, and waits for their answers.
func (x *traffic) flow(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			x.requests.Wait()
			return
		case <-ticker.C:
		}
		switch i % 40 {
		case 0:
			x.requests.Go(func() { x.visit(i) })
		case 1, 2, 3: // the visitors' ticks
		default:
			session := <-x.idle
			x.requests.Go(func() {
				if i%5 == 4 {
					x.look(session)
				} else {
					x.refresh(session)
				}
				x.idle <- session
			})
		}
	}
}

// visit is a whole session, four requests long.
func (x *traffic) visit(i int) {
	if session := x.login(i); session != nil {
		x.look(session)
		x.refresh(session)
		x.ask(http.StatusNoContent, http.MethodPost, "/logout", refreshBody(session.RefreshToken), "")
	}
}

func (x *traffic) login(i int) *tokens {
	body := fmt.Sprintf(`{"username":"user%d","password":"password123"}`, i%trafficUsers)
	return x.handedOut(x.ask(http.StatusOK, http.MethodPost, "/login", body, ""))
}

func (x *traffic) look(session *tokens) {
	x.ask(http.StatusOK, http.MethodGet, "/protected", "", session.AccessToken)
}

func (x *traffic) refresh(session *tokens) {
	if next := x.handedOut(x.ask(http.StatusOK, http.MethodPost, "/token", refreshBody(session.RefreshToken), "")); next != nil {
		*session = *next
	}
}

func (x *traffic) handedOut(body string) *tokens {
	if body == "" {
		return nil
	}
	var handed tokens
	if err := json.Unmarshal([]byte(body), &handed); err != nil || handed.RefreshToken == "" {
		x.t.Errorf("no tokens in %s", body)
	}
	return &handed
}

// ask counts all but the wanted status as a failure, the client's own errors too. It returns the body of a success.
func (x *traffic) ask(want int, method, path, body, bearer string) string {
	limited, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a, err := x.front.do(limited, method, path, body, bearer)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count[path]++
	if err != nil || a.status != want {
		x.failures = append(x.failures, fmt.Sprintf("%s %s %s: %d %s, error %v", time.Now().Format("05.000"), method, path, a.status, a.body, err))
		return ""
	}
	return a.body
}

// Each replica is restarted five times under load. Not one request fails, nobody is logged out, and the balancer
// never has to try a second time: it notices while the replica still answers.
func TestBalancer_RollingRestartsFailNoRequest(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	boundSessions(t, db)
	through := pooled(t, db)
	for i := range trafficUsers {
		addUser(t, db.URL(), fmt.Sprintf("user%d", i))
	}
	delay := os.Getenv("ROLLING_DRAIN_DELAY")
	if delay == "" {
		delay = "2s"
	}
	replicas, environs, addresses := make([]*serving, 3), make([][]string, 3), make([]string, 3)
	for i := range replicas {
		addresses[i] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		environs[i] = serveEnvironment(through, "DATABASE_POOLER=transaction", "REVOCATION_LISTEN_URL="+db.URL(), "DRAIN_DELAY="+delay,
			"LISTEN_ADDR="+addresses[i], "TRUSTED_PROXIES=127.0.0.1", "ALLOW_PLAINTEXT=true")
		replicas[i] = startServing(t, environs[i])
	}
	front := balance(t, addresses)
	x := newTraffic(t, front)

	ctx, stop := context.WithCancel(t.Context())
	began := time.Now()
	var flowing sync.WaitGroup
	flowing.Go(func() { x.flow(ctx) })
	const rounds = 5
	for range rounds {
		for i := range replicas {
			replicas[i].terminate(t)
			replicas[i].stopped(t)
			if !strings.Contains(replicas[i].logs.String(), `"route":"/token","status":200`) {
				t.Errorf("replica %d left without having refreshed anything: was it never up again?", i+1)
			}
			replicas[i] = startServing(t, environs[i])
			replicas[i].awaitStatus(t, "/readyz", "", http.StatusOK)
		}
	}
	stop()
	flowing.Wait()
	if retries := x.report(time.Since(began)); retries != 0 {
		t.Errorf("haproxy tried %d times again", retries)
	}

	close(x.idle)
	for session := range x.idle {
		x.refresh(session) // each chain lives on
	}
	if n := len(x.failures); n != 0 {
		t.Errorf("%d requests failed:\n%s", n, strings.Join(x.failures[:min(n, 20)], "\n"))
	}
	if stdout, stderr, code := run(t, "", []string{"DATABASE_URL=" + db.URL()}, "check"); code != 0 {
		t.Errorf("check: %d %s%s", code, stdout, stderr)
	}
	if n := x.count["/token"]; n < rounds*len(replicas)*30 {
		t.Errorf("%d refreshes in all: the test shows nothing", n)
	}
}

// report says what was sent, and how often the balancer helped itself.
func (x *traffic) report(elapsed time.Duration) (retries int) {
	total := -trafficSessions // logins before it began
	for _, n := range x.count {
		total += n
	}
	for _, match := range regexp.MustCompile(`retries \+?(\d+)`).FindAllStringSubmatch(x.front.logs.String(), -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil {
			x.t.Error(err)
		}
		retries += n
	}
	x.t.Logf("%d requests in %.1f s (%.0f a second): %v; %d failed; haproxy tried %d times again", total, elapsed.Seconds(), float64(total)/elapsed.Seconds(), x.count, len(x.failures), retries)
	return retries
}
