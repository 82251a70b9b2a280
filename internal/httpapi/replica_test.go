package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/httpapi"
	"kindred/internal/metrics"
	"kindred/internal/password"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/testdb"
	"kindred/internal/token"
	"kindred/internal/web"
)

const (
	publicURL     = "https://id.example"
	listedOrigin  = "https://app.example"
	refreshSecret = "refresh secret of the stories, long enough"
	accessSecret  = "access secret of the stories, long enough!"
	reuseInterval = 10 * time.Second
)

// replicaConfig is what differs from one replica of the tests to another.
type replicaConfig struct {
	url          string // of the database, perhaps by way of a proxy
	timeout      time.Duration
	maxConns     int32
	registration bool
	pacedTheft   bool // revokes
	maxSessions  int  // of one user; 0: any number
	strict       bool // about passwords, with a list
	breached     func(context.Context, string) (bool, error)
	guesses      auth.GuessLimits
	forwarded    bool          // proxies write RFC 7239's header
	tlsOnly      bool          // as serve is by itself; httptest's own requests come from afar, and in clear
	log          io.Writer     // nil: none
	keys         *token.Keys   // nil: a secret's
	keyBox       *token.KeyBox // of keys of the database
	fed          bool          // a feed keeps the blacklist; else each check asks the database
}

func newAPI(t testing.TB, db *testdb.DB, config replicaConfig) (*auth.Service, *httpapi.API) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	figures := metrics.New(metrics.Build{}) // counted as `serve` does
	st, err := store.Open(store.Config{
		Rotating: figures.Rotating,
		URL:      config.url, RequestTimeout: config.timeout, MaxConns: config.maxConns, MaxLifetime: 720 * time.Hour,
	})
	must(err)
	t.Cleanup(st.Close)
	hasher, err := password.New(password.Config{Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}, Slots: 32})
	must(err)
	codec, err := token.NewRefreshCodec([]byte(refreshSecret))
	must(err)
	devices, err := token.NewDeviceCodec([]byte(refreshSecret))
	must(err)
	keys := config.keys
	if keys == nil {
		keys, err = token.NewHS256Keys([]byte(accessSecret))
		must(err)
	}
	access := token.AccessConfig{Issuer: publicURL, Audience: publicURL, Keys: keys, Now: db.Now}
	issuer, err := token.NewIssuer(access)
	must(err)
	verifier, err := token.NewVerifier(access)
	must(err)
	log := slog.New(slog.DiscardHandler)
	if config.log != nil {
		log = slog.New(slog.NewJSONHandler(config.log, nil))
	}
	passwords := account.AnyPassword()
	if config.strict {
		list, err := account.ReadBlocklist(strings.NewReader("listed lantern of nine rivers"))
		must(err)
		passwords = account.PasswordPolicy{Blocklist: list}
	}
	blacklist := revocation.NewSet(time.Now)
	service := auth.New(auth.Config{
		Meter:            figures,
		RevokePacedTheft: config.pacedTheft,
		ReuseInterval:    reuseInterval, IdleLifetime: 24 * time.Hour, MaxLifetime: 720 * time.Hour, AccessLifetime: time.Hour,
		RegistrationOpen: config.registration, Passwords: passwords, Breached: config.breached, NameKey: []byte("name key"), SigningAlgorithm: token.ES256,
		GuessKey: []byte("guess key"), Guesses: config.guesses, MaxSessionsPerUser: config.maxSessions, PublicURL: publicURL,
		AdminMaxAge: 15 * time.Minute,
	}, st, blacklist, auth.Secrets{Hasher: hasher, Codec: codec, Devices: devices, Issuer: issuer, Verifier: verifier, Keys: keys, KeyBox: config.keyBox}, log)
	if config.fed {
		feed, err := revocation.NewFeed(revocation.Config{
			Follow: store.FollowConfig{URL: config.url, Listen: true}, Server: st.Server, KeysChanged: service.LoadKeys, Log: slog.New(slog.DiscardHandler),
		}, blacklist)
		must(err)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { feed.Run(ctx) })
		t.Cleanup(func() { cancel(); running.Wait() })
		must(blacklist.Next(t.Context()))
	}
	api := httpapi.New(httpapi.Config{
		PublicURL: publicURL, CORSAllowedOrigins: []string{listedOrigin}, RequestTimeout: config.timeout, Log: log, AllowPlaintext: !config.tlsOnly,
		Observers: []httpapi.Observer{figures},
		Proxies:   httpapi.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Forwarded: config.forwarded},
	}, service)
	web.Mount(api, service)
	return service, api
}
