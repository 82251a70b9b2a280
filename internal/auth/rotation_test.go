package auth_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// Clients log in, refresh and ask, on two replicas in turns and as fast as they are served, while a key is
// published, signs, the one before it retires, and it is revoked itself. No request fails, but for access
// tokens of the revoked key, whose clients refresh and go on.
func TestRotateKey_UnderLoad(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	replicas := []keyed{newFed(t, db), newFed(t, db)}
	replicas[0].addUser(t, "ana")
	clients := startClients(t, replicas)
	first := replicas[0].published(t)[0]
	clients.await(2, first)

	second := replicas[0].rotate(t)
	clients.await(2, first)
	for waited := time.Duration(0); waited < publication; waited += step {
		db.Advance(t, step)
		clients.await(1, "")
	}
	clients.await(2, second)
	if err := replicas[1].RetireKey(t.Context(), caller, first); err != nil {
		t.Error(err)
	}
	clients.await(2, second)
	clients.mayRefuse.Store(second)
	third := replicas[1].revoke(t, second)
	clients.await(2, third)
	clients.mayRefuse.Store("")
	clients.await(2, third)
	clients.end()
	if clients.refused.Load() == 0 {
		t.Error("no access token of the revoked key was refused")
	}
	t.Logf("%d requests in %v; %d access tokens of the revoked key were refused",
		clients.requests.Load(), time.Since(clients.begun).Round(time.Millisecond), clients.refused.Load())
	replicas[0].wantInvariants(t)
}

// step is less than the leeway: the database's clock moves a moment before that of the replicas.
const step = 30 * time.Second

// clients are at work until end.
type clients struct {
	t         *testing.T
	replicas  []keyed
	begun     time.Time
	requests  atomic.Int64
	refused   atomic.Int64
	mayRefuse atomic.Value // the key whose access tokens may be refused

	stopping atomic.Bool
	working  sync.WaitGroup
	mu       sync.Mutex
	turned   *sync.Cond
	progress []progress
}

// progress of one client: how many rounds it has done, and how many of the last in a row with one key.
type progress struct {
	rounds, run int
	key         string
}

func startClients(t *testing.T, replicas []keyed) *clients {
	t.Helper()
	const number = 4
	c := &clients{t: t, replicas: replicas, begun: time.Now(), progress: make([]progress, number)}
	c.turned = sync.NewCond(&c.mu)
	c.mayRefuse.Store("")
	for i := range number {
		c.working.Go(func() { c.work(i) })
	}
	t.Cleanup(c.end)
	return c
}

func (c *clients) end() {
	c.stopping.Store(true)
	c.working.Wait()
}

// await returns once each client has done that many further rounds, and as many in a row with a key,
// whichever if it is empty.
func (c *clients) await(rounds int, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.progress {
		for from := c.progress[i].rounds; !c.t.Failed(); c.turned.Wait() {
			if p := c.progress[i]; p.rounds-from >= rounds && (key == "" || p.key == key && p.run >= rounds) {
				break
			}
		}
	}
}

func (c *clients) work(client int) {
	var tokens, before auth.Tokens
	for round := 0; !c.stopping.Load() && !c.t.Failed(); round++ {
		here, there := c.replicas[round%2], c.replicas[(round+1)%2]
		var err error
		before = tokens
		if round%10 == 0 {
			tokens, err = here.Login(c.t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
		} else {
			tokens, err = here.Refresh(c.t.Context(), caller, tokens.RefreshToken, auth.ClientCredentials{})
		}
		c.requests.Add(1)
		if err != nil {
			c.t.Errorf("client %d, round %d: %v", client, round, err)
			break
		}
		c.ask(there, tokens)
		if round > 0 {
			c.ask(here, before)
		}
		c.turn(client, keyOf(c.t, tokens))
	}
	c.turned.Broadcast()
}

// ask presents an access token.
func (c *clients) ask(r keyed, tokens auth.Tokens) {
	_, err := r.Authenticate(c.t.Context(), tokens.AccessToken)
	c.requests.Add(1)
	switch key := keyOf(c.t, tokens); {
	case errors.Is(err, auth.ErrInvalidAccessToken) && key == c.mayRefuse.Load():
		c.refused.Add(1)
	case err != nil:
		c.t.Errorf("access token of %s: %v", key, err)
	}
}

func (c *clients) turn(client int, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.progress[client]
	if p.key != key {
		p.key, p.run = key, 0
	}
	p.rounds++
	p.run++
	c.turned.Broadcast()
}
