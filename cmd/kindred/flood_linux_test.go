package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kindred/internal/password"
	"kindred/internal/testdb"
)

// A flood of wrong logins takes the memory of the hashes that run, not of those that wait; everybody gets
// an answer, and sessions go on. `make flood` runs it in full size and prints its figures.
func TestServe_FloodOfWrongLogins(t *testing.T) {
	size, refreshes := fromEnvironment(t, "FLOOD_LOGINS", 1000), fromEnvironment(t, "FLOOD_REFRESHES", 10)
	slots := fromEnvironment(t, "HASH_SLOTS", runtime.NumCPU())
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	s := startServing(t, serveEnvironment(db.URL(), "TRUSTED_PROXIES=127.0.0.1", "HASH_SLOTS="+strconv.Itoa(slots)))
	const refreshClients, loginClients = 16, 32
	alone := s.memory(t, "VmRSS")
	f := newFlood(t, s, size)
	f.begin(refreshClients)
	f.refresh(5) // connections and plans are made
	quiet := f.refresh(refreshes)
	// The same crowd, refused before anything is hashed, and the same refreshes: connections and requests take
	// memory of their own.
	f.logins(size, 1, "", func() { f.refresh(refreshes) })
	idle := s.memory(t, "VmRSS")

	f.logins(size, 1, "wrong", func() { f.refresh(refreshes) })
	t.Log(f.report(fmt.Sprintf("%d logins at once", size)))
	cost := int(password.DefaultParams().MemoryKiB) << 10
	peak, bound := s.memory(t, "VmHWM"), (idle+slots*cost)*5/4
	t.Logf("memory: %d KiB alone, %d KiB with the crowd and refreshes, but no hash, %d slots of %d KiB, peak %d KiB, bound %d KiB", alone>>10, idle>>10, slots, cost>>10, peak>>10, bound>>10)
	if peak > bound {
		t.Errorf("at its peak the process took %d KiB, over the bound of %d KiB", peak>>10, bound>>10)
	}

	var beside []time.Duration
	f.logins(loginClients, -1, "wrong", func() { beside = f.refresh(refreshes) })
	t.Log(f.report(fmt.Sprintf("%d login clients", loginClients)))
	t.Logf("%d refresh clients: quiet p50 %v, p99 %v; beside those p50 %v, p99 %v, %.1f times as long", refreshClients,
		percentile(quiet, 50), percentile(quiet, 99), percentile(beside, 50), percentile(beside, 99),
		float64(percentile(beside, 99))/float64(percentile(quiet, 99)))
}

// flood is a crowd of clients of one process.
type flood struct {
	t        *testing.T
	s        *serving
	http     *http.Client
	sessions []string // refresh tokens, one a client
	guesses  atomic.Int64

	mu      sync.Mutex
	answers map[int][]time.Duration // to logins, by status
}

// newFlood keeps as many connections as there are clients.
func newFlood(t *testing.T, s *serving, clients int) *flood {
	t.Helper()
	f := &flood{t: t, s: s, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
	t.Cleanup(f.http.CloseIdleConnections)
	return f
}

// begin logs in, so many times.
func (f *flood) begin(sessions int) {
	for range sessions {
		f.sessions = append(f.sessions, f.s.login(f.t, "user1").field(f.t, "refreshToken"))
	}
}

// refresh has each session refreshed so many times, one after the other, and returns how long each took. All
// must succeed.
func (f *flood) refresh(times int) (took []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range f.sessions {
		all.Go(func() {
			for range times {
				began := time.Now()
				a, err := f.s.post(f.t.Context(), "/token", refreshBody(f.sessions[i]))
				if err != nil || a.status != http.StatusOK {
					f.t.Errorf("refresh: %d %s %v", a.status, a.body, err)
					return
				}
				f.sessions[i] = a.field(f.t, "refreshToken")
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return took
}

// logins has clients log in with a password that is wrong, each so many times, or with -1 until what is done
// meanwhile is over.
func (f *flood) logins(clients, times int, password string, meanwhile func()) {
	f.mu.Lock()
	f.answers = map[int][]time.Duration{}
	f.mu.Unlock()
	var all sync.WaitGroup
	done := make(chan struct{})
	over := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	for range clients {
		all.Go(func() {
			for n := 0; n < times || times < 0 && !over(); n++ {
				f.guess(password)
			}
		})
	}
	meanwhile()
	close(done)
	all.Wait()
}

// guess is one wrong login, of a name and from a network that were not seen before.
func (f *flood) guess(password string) {
	n := f.guesses.Add(1)
	body := fmt.Sprintf(`{"username":"nobody%d","password":%q}`, n, password)
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.s.url+"/login", strings.NewReader(body))
	if err != nil {
		f.t.Error(err)
		return
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", fmt.Sprintf("%d.%d.%d.1", 11+n>>16&63, n>>8&255, n&255))
	began := time.Now()
	response, err := f.http.Do(request)
	if err != nil {
		f.t.Error(err)
		return
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		f.t.Error(err)
	}
	status, later := response.StatusCode, response.Header.Get("Retry-After")
	refused := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
	if status != http.StatusBadRequest && (!refused || later == "") {
		f.t.Errorf("a wrong login is answered %d, Retry-After %q", status, later)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[status] = append(f.answers[status], time.Since(began))
}

// report says how many logins were answered how, and how soon.
func (f *flood) report(title string) string {
	var b strings.Builder
	b.WriteString(title)
	for status, took := range f.answers {
		fmt.Fprintf(&b, "; %d times %d, p50 %v, longest %v", len(took), status, percentile(took, 50), percentile(took, 100))
	}
	return b.String()
}

func percentile(took []time.Duration, percent int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[(len(sorted)-1)*percent/100].Round(10 * time.Microsecond)
}

// memory reads a figure of the process, in bytes.
func (s *serving) memory(t testing.TB, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
	if match == nil {
		t.Fatalf("%s is not told", name)
	}
	kib, err := strconv.Atoi(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// fromEnvironment is a number that whoever runs the tests may set.
func fromEnvironment(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s must be a number", name)
	}
	return n
}
