package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"kindred/internal/devdb"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/token"
	"kindred/migrations"
)

const (
	clients      = 64 // the names of figures have it too
	userAgent    = "kindred-bench"
	userPassword = "quiet lantern nine rivers"
)

// bench is everything that runs while it measures.
type bench struct {
	dir      string // working directory and logs of the servers
	program  string // that is measured
	environ  []string
	postgres *pgx.Conn
	kindred  *server // that is measured: ES256, all else by default
	hs256    *server // the same with HS256
	oneSlot  *server // the same, but hashes one password at a time
	counted  *server // another one, whose statements pass the proxy
	bare     *server // net/http and a constant
	proxy    *proxy
	store    *store.Store

	families     []string         // the current refresh token of each client's family
	accessTokens []string         // of the same
	rotations    []store.Rotation // of other families, by the bare statement

	ends []func() error
}

func (b *bench) atEnd(end func() error) { b.ends = append(b.ends, end) }

// stop ends everything, what was started last first.
func (b *bench) stop() (err error) {
	for _, end := range slices.Backward(b.ends) {
		err = errors.Join(err, end())
	}
	return err
}

// start starts everything and makes users and families, through the product. What was started before
// an error is for stop to end.
func (b *bench) start(ctx context.Context, kindred string) (err error) {
	if b.dir, err = os.MkdirTemp("", "kindred-bench-"); err != nil {
		return err
	}
	b.atEnd(func() error { return os.RemoveAll(b.dir) })
	// The environment is not asked for a database: this one is made here, and goes when it ends.
	// Each server keeps the connections that it made.
	db, err := devdb.StartThrowaway(ctx, devdb.ThrowawayOptions{Durable: true, Install: say, Settings: []string{"max_connections=200"}})
	if err != nil {
		return err
	}
	b.atEnd(func() error { return db.Stop(context.WithoutCancel(ctx)) })
	if err := migrations.Up(ctx, db.URL(), func(string) {}, func(string) {}); err != nil {
		return err
	}
	if b.postgres, err = pgx.Connect(ctx, db.URL()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	b.atEnd(func() error { return b.postgres.Close(context.WithoutCancel(ctx)) })
	b.store, err = store.Open(store.Config{
		URL: db.URL(), MaxConns: clients, RequestTimeout: 5 * time.Second, MaxLifetime: 720 * time.Hour, RotationGroup: 1,
	})
	if err != nil {
		return err
	}
	b.atEnd(func() error { b.store.Close(); return nil })
	refreshSecret := rand.Text() + rand.Text()
	if b.program, err = filepath.Abs(kindred); err != nil {
		return err
	}
	if err := b.startServers(ctx, db.URL(), refreshSecret); err != nil {
		return err
	}
	if err := b.makeFamilies(ctx, refreshSecret); err != nil {
		return err
	}
	return b.startBareHTTP(ctx)
}

// startServers starts servers of one database and one refresh secret: each refreshes the families of the others.
func (b *bench) startServers(ctx context.Context, databaseURL, refreshSecret string) (err error) {
	// The logins that are measured must not end the sessions that are refreshed.
	shared := []string{
		"LISTEN_ADDR=127.0.0.1:0", "DRAIN_DELAY=0", "MAX_SESSIONS_PER_USER=10000", "JWT_SECRET=" + rand.Text() + rand.Text(), "JWT_REFRESH_SECRET=" + refreshSecret,
	}
	key := make([]byte, 32)
	rand.Read(key)
	signing := slices.Concat(shared, []string{"KEY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(key), "SIGNING_ALGORITHM=ES256"})
	direct := "DATABASE_URL=" + databaseURL
	b.environ = slices.Concat(signing, []string{direct})
	if b.kindred, err = b.startServer(ctx, "kindred", b.environ, b.program, "serve"); err != nil {
		return err
	}
	if b.hs256, err = b.startServer(ctx, "hs256", slices.Concat(shared, []string{direct}), b.program, "serve"); err != nil {
		return err
	}
	if b.oneSlot, err = b.startServer(ctx, "one-slot", slices.Concat(b.environ, []string{"HASH_SLOTS=1"}), b.program, "serve"); err != nil {
		return err
	}
	var through string
	if b.proxy, through, err = startProxy(ctx, databaseURL); err != nil {
		return err
	}
	b.atEnd(func() error { b.proxy.close(); return nil })
	// The feed goes past the proxy: it reads for itself and not for a request.
	b.counted, err = b.startServer(ctx, "counted", slices.Concat(signing, []string{
		"DATABASE_URL=" + through, "REVOCATION_LISTEN_URL=" + databaseURL, "REGISTRATION=open", "REGISTRATIONS_PER_NETWORK=1000/1000",
	}), b.program, "serve")
	return err
}

// startBareHTTP lets the bare handler answer with what /protected answered.
func (b *bench) startBareHTTP(ctx context.Context) error {
	c, err := dial(ctx, b.kindred.address)
	if err != nil {
		return err
	}
	defer c.close()
	body, err := c.get("/protected", b.accessTokens[0])
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.bare, err = b.startServer(ctx, "bare-http", nil, self, "bare-http", string(body))
	return err
}

func (b *bench) startServer(ctx context.Context, name string, environ []string, program string, args ...string) (*server, error) {
	s, err := startServer(ctx, b.dir, name, environ, program, args...)
	if err == nil {
		b.atEnd(func() error { s.stop(); return nil })
	}
	return s, err
}

// makeFamilies registers a user for each client, at the server where that is open, and logs each in
// twice: a family to refresh over HTTP, and one to rotate by the bare statement.
func (b *bench) makeFamilies(ctx context.Context, refreshSecret string) error {
	codec, err := token.NewRefreshCodec([]byte(refreshSecret))
	if err != nil {
		return err
	}
	b.families, b.accessTokens, b.rotations = make([]string, clients), make([]string, clients), make([]store.Rotation, clients)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4) // more would only wait for their turn to hash
	for i := range clients {
		group.Go(func() error {
			if err := b.register(ctx, i); err != nil {
				return err
			}
			c, err := dial(ctx, b.kindred.address)
			if err != nil {
				return err
			}
			defer c.close()
			first, err := logIn(c, i)
			if err != nil {
				return err
			}
			second, err := logIn(c, i)
			if err != nil {
				return err
			}
			b.families[i], b.accessTokens[i] = first.RefreshToken, first.AccessToken
			b.rotations[i], err = firstRotation(codec, second.RefreshToken)
			return err
		})
	}
	return group.Wait()
}

func (b *bench) register(ctx context.Context, user int) error {
	c, err := dial(ctx, b.counted.address)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.post("/register", credentials(user), http.StatusCreated)
	return err
}

// firstRotation is of the size that the product's rotations have; nobody will ever open its seal.
func firstRotation(codec *token.RefreshCodec, refreshToken string) (store.Rotation, error) {
	parent, err := codec.Parse(refreshToken)
	if err != nil {
		return store.Rotation{}, err
	}
	seal, err := codec.Seal(parent, parent)
	return store.Rotation{
		FamilyID: parent.FamilyID, TokenID: parent.TokenID, TokenHash: parent.Hash(), ClientID: family.DefaultClient, Seal: seal,
		UserAgent: userAgent, Address: netip.AddrFrom4([4]byte{127, 0, 0, 1}), IdleLifetime: 24 * time.Hour, AccessLifetime: time.Hour,
	}, err
}
