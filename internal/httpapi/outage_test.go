package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// outageTimeout is the deadline of a request in these tests, short because some faults use it up.
const outageTimeout = time.Second

// outage is a replica whose way to PostgreSQL goes through a proxy, and one user's session. What the
// tests need for themselves is done past both, by a replica that has no trouble.
type outage struct {
	db     *testdb.DB
	proxy  *testdb.Proxy
	server *httptest.Server
	steady *auth.Service
	store  *store.Store
	user   string

	busy *sync.RWMutex // held by each request that the replica works on, whether or not somebody waits

	older, parent, current auth.Tokens // three generations of one family
}

// steadySide is what many outages on one database can share.
func steadySide(t testing.TB, db *testdb.DB) outage {
	t.Helper()
	service, _ := newAPI(t, db, replicaConfig{url: db.URL(), timeout: 10 * time.Second})
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 10 * time.Second, MaxConns: 2, MaxLifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return outage{db: db, steady: service, store: st}
}

func newOutage(t testing.TB, steady outage, user string, maxConns int32) *outage {
	t.Helper()
	o := steady
	o.user, o.proxy, o.busy = user, testdb.NewProxy(t, o.db), new(sync.RWMutex)
	_, api := newAPI(t, o.db, replicaConfig{url: o.proxy.URL(), timeout: outageTimeout, maxConns: maxConns})
	o.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.busy.RLock()
		defer o.busy.RUnlock()
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(o.server.Close)
	if _, err := o.steady.CreateUser(t.Context(), auth.Caller{}, user, "password123", "user"); err != nil {
		t.Fatal(err)
	}
	o.newFamily(t)
	return &o
}

func (o *outage) newFamily(t testing.TB) {
	t.Helper()
	var err error
	o.older, err = o.steady.Login(t.Context(), auth.Caller{}, auth.LoginRequest{Username: o.user, Password: "password123"})
	if err != nil {
		t.Fatal(err)
	}
	o.parent, o.current = o.steadily(t, o.older), auth.Tokens{}
	o.current = o.steadily(t, o.parent)
}

// awaitIdle returns when the replica is done with what it was asked.
func (o *outage) awaitIdle() {
	o.busy.Lock()
	defer o.busy.Unlock()
}

// steadily refreshes at the replica that has no trouble.
func (o *outage) steadily(t testing.TB, tokens auth.Tokens) auth.Tokens {
	t.Helper()
	next, err := o.steady.Refresh(t.Context(), auth.Caller{}, tokens.RefreshToken, auth.ClientCredentials{})
	if err != nil {
		t.Errorf("%s: refresh past the trouble: %v", o.user, err)
	}
	return next
}

// use is a request as clients send it, and what it comes to where there is no trouble.
type use struct {
	name string
	send func(o *outage) *http.Request
	want int
	then func(t testing.TB, o *outage, a reply) // looks at what holds once it has been answered so
}

var (
	refresh = use{"refresh", func(o *outage) *http.Request { return postToken(o.current) }, http.StatusOK,
		func(t testing.TB, o *outage, a reply) {
			// However often it had to be asked for, it is one step.
			o.wantGeneration(t, 3)
			o.steadily(t, auth.Tokens{RefreshToken: a.RefreshToken})
		}}
	replay = use{"replay", func(o *outage) *http.Request { return postToken(o.parent) }, http.StatusOK,
		func(t testing.TB, o *outage, a reply) {
			if a.RefreshToken != o.current.RefreshToken {
				t.Errorf("%s: the replay gave another child", o.user)
			}
			o.steadily(t, o.current)
		}}
	reuse = use{"reuse", func(o *outage) *http.Request { return postToken(o.older) }, http.StatusForbidden, wantEnded}
	login = use{"login", func(o *outage) *http.Request {
		return post("/login", `{"username":"`+o.user+`","password":"password123"}`)
	}, http.StatusOK, func(t testing.TB, o *outage, a reply) {
		o.steadily(t, auth.Tokens{RefreshToken: a.RefreshToken})
		o.steadily(t, o.current)
	}}
	logout = use{"logout", func(o *outage) *http.Request {
		return post("/logout", `{"refreshToken":"`+o.current.RefreshToken+`"}`)
	}, http.StatusNoContent, wantEnded}
	check = use{"check", func(o *outage) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/protected", nil)
		r.Header.Set("Authorization", "Bearer "+o.current.AccessToken)
		return r
	}, http.StatusOK, func(t testing.TB, o *outage, _ reply) { o.steadily(t, o.current) }}

	uses = []use{refresh, replay, reuse, login, logout, check}
)

func (o *outage) wantGeneration(t testing.TB, want int) {
	t.Helper()
	var got int
	err := o.db.Conn(t).QueryRow(t.Context(), `
		SELECT f.generation FROM token_families f JOIN users u ON u.id = f.user_id WHERE u.username = $1`, o.user).Scan(&got)
	if err != nil || got != want {
		t.Errorf("%s: generation %d, error %v, want %d", o.user, got, err, want)
	}
}

func wantEnded(t testing.TB, o *outage, _ reply) {
	if _, err := o.steady.Refresh(t.Context(), auth.Caller{}, o.current.RefreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("%s: refresh in the ended family: error %v, want ErrInvalidRefreshToken", o.user, err)
	}
}

func post(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func postToken(tokens auth.Tokens) *http.Request {
	return post("/token", `{"refreshToken":"`+tokens.RefreshToken+`"}`)
}

// reply is what came back, 0 if nothing did.
type reply struct {
	status       int
	RefreshToken string `json:"refreshToken"`
}

// ask sends a request to the replica in trouble. Kindred answers within its deadline and half a
// second; that is counted in ticks of this process, which come late when the machine is late.
func (o *outage) ask(t testing.TB, r *http.Request) reply {
	t.Helper()
	const tick = 10 * time.Millisecond
	late := errors.New("no answer within the deadline and half a second")
	ctx, cancel := context.WithCancelCause(t.Context())
	var clock sync.WaitGroup
	clock.Go(func() {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for range (outageTimeout + 500*time.Millisecond) / tick {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
		cancel(late)
	})
	a, err := o.send(r.WithContext(ctx))
	cancel(nil)
	clock.Wait()
	if err != nil {
		t.Errorf("%s: %s: %v", o.user, r.URL.Path, errors.Join(err, context.Cause(ctx)))
	}
	return a
}

func (o *outage) send(r *http.Request) (reply, error) {
	r.RequestURI = ""
	url := *r.URL
	url.Scheme, url.Host = "http", o.server.Listener.Addr().String()
	r.URL = &url
	response, err := o.server.Client().Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	a := reply{status: response.StatusCode}
	text, err := io.ReadAll(response.Body)
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &a)
	}
	if a.status == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
		err = errors.Join(err, errors.New("503 without Retry-After"))
	}
	return a, err
}

// tryOnce asks while there is trouble: the answer is what it always is, or 503.
func (o *outage) tryOnce(t testing.TB, u use) reply {
	t.Helper()
	a := o.ask(t, u.send(o))
	if a.status != u.want && a.status != http.StatusServiceUnavailable {
		t.Errorf("%s: status %d in trouble, want %d or 503", o.user, a.status, u.want)
	}
	return a
}

// recover asks again after a first answer until there is one other than 503, which must be the right
// one and have the right effect. It returns how often it was told 503.
func (o *outage) recover(t testing.TB, u use, a reply) (refusals int) {
	t.Helper()
	const patience = 30 * time.Second
	for start := time.Now(); a.status == http.StatusServiceUnavailable; {
		if time.Since(start) > patience {
			t.Errorf("%s: no recovery within %v of the trouble's end", o.user, patience)
			return refusals
		}
		if a = o.ask(t, u.send(o)); a.status == http.StatusServiceUnavailable {
			refusals++
		}
	}
	if a.status != u.want {
		t.Errorf("%s: status %d after the trouble, want %d", o.user, a.status, u.want)
		return refusals
	}
	u.then(t, o, a)
	return refusals
}

// state is all of the user that a retry could observe.
func (o *outage) state(t testing.TB) (all string) {
	t.Helper()
	err := o.db.Conn(t).QueryRow(t.Context(), `
		WITH mine AS (SELECT f.* FROM token_families f JOIN users u ON u.id = f.user_id WHERE u.username = $1)
		SELECT (SELECT coalesce(jsonb_agg(m ORDER BY m.id), '[]')::text FROM mine m)
		    || (SELECT coalesce(jsonb_agg(r ORDER BY r.id), '[]')::text FROM refresh_tokens r WHERE r.family_id IN (SELECT id FROM mine))`, o.user).Scan(&all)
	if err != nil {
		t.Error(err)
	}
	return all
}

func (o *outage) wantInvariants(t testing.TB) {
	t.Helper()
	violations, err := o.store.Check(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, v := range violations {
		t.Errorf("invariant %s is broken: %s", v.Invariant, v.Detail)
	}
}
