package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/config"
	"kindred/internal/httpapi"
	"kindred/internal/metrics"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/token"
	"kindred/internal/web"
)

func newServe(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve HTTP; settings come from the environment and .env",
		Long:  "Serves until SIGTERM or SIGINT. It never migrates: run `kindred migrate up` before.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(p.settings())
			if err != nil {
				return err
			}
			lines := newLogWriter(p.stderr)
			defer lines.end()
			log := slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: cfg.LogLevel}))
			boundMemory(log)
			for _, weakness := range cfg.Warnings {
				log.Warn("weak secret: " + weakness)
			}
			warnOfUnverified(log, cfg)
			return serve(cmd.Context(), cfg, log, func(string) {})
		},
	}
}

// serve runs a server until ctx ends; ready is told its address once it listens.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger, ready func(address string)) error {
	s, err := newServer(cfg, log)
	if err != nil {
		return err
	}
	defer s.store.Close()
	if err := s.speakTLS(cfg.TLS); err != nil {
		return err
	}
	defer s.tracing.end()
	stopOps, err := s.serveOps(ctx, cfg.OpsAddr)
	if err != nil {
		return err
	}
	defer stopOps()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.ListenAddr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return s.run(ctx, listener, ready)
}

// server is one replica: what main and the end-to-end tests both start.
type server struct {
	drain     time.Duration
	store     *store.Store
	service   *auth.Service
	blacklist *revocation.Set
	feed      *revocation.Feed
	api       *httpapi.API
	http      *http.Server
	metrics   *metrics.Metrics
	tracing   *tracing // nil: off
	log       *slog.Logger

	certificate *httpapi.Certificate // nil: plain HTTP
}

// newServer joins the parts. adjust has the last word on the rules of the use cases.
func newServer(cfg config.Config, log *slog.Logger, adjust ...func(*auth.Config)) (*server, error) {
	secrets, err := newSecrets(cfg)
	if err != nil {
		return nil, err
	}
	nameKey, err := hkdf.Key(sha256.New, []byte(cfg.JWTRefreshSecret.Reveal()), nil, "kindred audit name tag", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key for name tags: %w", err)
	}
	guessKey, err := hkdf.Key(sha256.New, []byte(cfg.JWTRefreshSecret.Reveal()), nil, "kindred guess counters", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key for counters of guesses: %w", err)
	}
	rules := auth.Config{
		ReuseInterval: cfg.RefreshReuseInterval, IdleLifetime: cfg.JWTRefreshExpiration, MaxLifetime: cfg.FamilyMaxLifetime,
		AccessLifetime: cfg.JWTExpiration, RegistrationOpen: cfg.RegistrationOpen, NameKey: nameKey, AdminMaxAge: cfg.AdminMaxAge,
		AuditRetention:   cfg.AuditRetention,
		RevokePacedTheft: cfg.RevokePacedTheft, SigningAlgorithm: token.Algorithm(cfg.SigningAlgorithm),
		MaxSessionsPerUser: cfg.MaxSessionsPerUser, PublicURL: cfg.PublicURL,
		GuessKey: guessKey, Guesses: auth.GuessLimits{
			PerNetwork: account.Bucket(cfg.GuessesPerNetwork), Overall: account.Bucket(cfg.GuessesOverall),
			Registrations: account.Bucket(cfg.RegistrationsRate),
		},
	}
	if err := choosingPasswords(cfg.Passwords, &rules); err != nil {
		return nil, err
	}
	for _, change := range adjust {
		change(&rules)
	}
	figures := newMetrics()
	rules.Meter = figures
	traces, err := newTracing(cfg.Traces, cfg.TrustedProxies, log)
	if err != nil {
		return nil, err
	}
	log = traces.logging(log)
	st, err := store.Open(store.Config{
		URL: cfg.DatabaseURL.Reveal(), MaxConns: cfg.DatabaseMaxConns, Pooled: cfg.DatabasePooled,
		RequestTimeout: cfg.RequestTimeout, MaxLifetime: cfg.FamilyMaxLifetime, RotationGroup: cfg.RotationGroup,
		Rotating: figures.Rotating, Tracer: traces.statements(), AtHome: true,
	})
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	blacklist := revocation.NewSet(time.Now)
	service := auth.New(rules, st, blacklist, secrets, log)
	api := httpapi.New(httpapi.Config{
		PublicURL: cfg.PublicURL, CORSAllowedOrigins: cfg.CORSAllowedOrigins,
		Proxies:        httpapi.Proxies{Trusted: cfg.TrustedProxies, Forwarded: cfg.ForwardedHeader},
		AllowPlaintext: cfg.TLS.AllowPlaintext,
		RequestTimeout: cfg.RequestTimeout, Log: log, Observers: traces.observing(figures),
	}, service)
	web.Mount(api, service)
	feed, err := revocation.NewFeed(revocation.Config{
		Follow: store.FollowConfig{URL: cfg.RevocationListenURL.Reveal(), Listen: cfg.RevocationListen},
		Server: st.Server, KeysChanged: service.LoadKeys, Log: log,
	}, blacklist)
	if err != nil {
		st.Close()
		return nil, fmt.Errorf("REVOCATION_LISTEN_URL: %w", err)
	}
	figures.Follow(metrics.Parts{Store: st, Hasher: secrets.Hasher, Blacklist: blacklist, Keys: secrets.Keys})
	return &server{
		metrics: figures, tracing: traces,
		drain: cfg.DrainDelay, store: st, service: service, blacklist: blacklist, feed: feed, api: api, log: log,
		http: &http.Server{
			Handler:           traces.around(api),
			ReadHeaderTimeout: cfg.RequestTimeout,
			ReadTimeout:       2 * cfg.RequestTimeout,
			WriteTimeout:      3 * cfg.RequestTimeout,
			IdleTimeout:       2 * time.Minute, // longer than balancers keep theirs: they close, and between requests
			MaxHeaderBytes:    1<<20 - headerSlop,
			// OPTIONS * goes the way of all requests, headers and all.
			DisableGeneralOptionsHandler: true,
			ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}, nil
}

func newSecrets(cfg config.Config) (auth.Secrets, error) {
	hasher, err := newHasher(cfg.Passwords, cfg.HashSlots)
	if err != nil {
		return auth.Secrets{}, err
	}
	var previous [][]byte
	for _, secret := range cfg.JWTRefreshSecretPrevious {
		previous = append(previous, []byte(secret.Reveal()))
	}
	codec, err := token.NewRefreshCodec([]byte(cfg.JWTRefreshSecret.Reveal()), previous...)
	if err != nil {
		return auth.Secrets{}, err
	}
	devices, err := token.NewDeviceCodec([]byte(cfg.JWTRefreshSecret.Reveal()), previous...)
	if err != nil {
		return auth.Secrets{}, err
	}
	box, err := newKeyBox(cfg.KeyEncryptionKey, cfg.KeyEncryptionKeyPrevious)
	if err != nil {
		return auth.Secrets{}, err
	}
	keys := token.NewKeys() // the feed loads them
	if box == nil {
		if keys, err = token.NewHS256Keys([]byte(cfg.JWTSecret.Reveal())); err != nil {
			return auth.Secrets{}, err
		}
	}
	access := token.AccessConfig{Issuer: cfg.PublicURL, Audience: cfg.Audience, Keys: keys}
	issuer, err := token.NewIssuer(access)
	if err != nil {
		return auth.Secrets{}, err
	}
	verifier, err := token.NewVerifier(access)
	if err != nil {
		return auth.Secrets{}, err
	}
	return auth.Secrets{Hasher: hasher, Codec: codec, Devices: devices, Issuer: issuer, Verifier: verifier, Keys: keys, KeyBox: box}, nil
}

// newKeyBox is nil where no key-encryption key is set.
func newKeyBox(current config.Secret, previous []config.Secret) (*token.KeyBox, error) {
	if !current.IsSet() {
		return nil, nil
	}
	var earlier [][]byte
	for _, secret := range previous {
		earlier = append(earlier, []byte(secret.Reveal()))
	}
	return token.NewKeyBox([]byte(current.Reveal()), earlier...)
}

// headerSlop is what net/http reads beyond its limit of headers.
const headerSlop = 4096

// run serves until ctx ends, then leaves in this order: not ready, and after a while in which balancers
// notice no new connections, requests in flight to their end, connections to the database.
func (s *server) run(ctx context.Context, listener net.Listener, ready func(address string)) error {
	const firstReading = time.Second
	const drainLimit = 25 * time.Second // supervisors kill after 30
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	defer func() { stopBackground(); working.Wait() }() // the feed serves the requests in flight
	working.Go(func() { s.feed.Run(background) })
	working.Go(func() { s.maintain(background) })
	working.Go(func() { s.followCertificate(background) })
	working.Go(func() { s.metrics.Run(background, s.store.Figures) })

	// Where the database is there, the first request finds keys and blacklist loaded.
	loading, loaded := context.WithTimeout(ctx, firstReading)
	_ = s.blacklist.Next(loading)
	loaded()
	s.log.Info("listening", "address", listener.Addr().String(), "version", version)
	ready(listener.Addr().String())

	served := make(chan error, 1)
	go func() { served <- s.accept(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("draining")
	s.api.Drain()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-time.After(s.drain):
	}
	if err := s.http.Shutdown(ending); err != nil {
		s.log.Warn("requests were cut off", "error", err)
		_ = s.http.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	s.log.Info("stopped")
	return nil
}

// maintain makes partitions long before they are needed, deletes what is of no use any more, and says which
// settings the sessions lack. Should the first fail, a login that misses a partition makes it.
func (s *server) maintain(ctx context.Context) {
	const calm, troubled, limit = time.Hour, 5 * time.Second, 10 * time.Minute
	failing, told := false, ""
	for {
		attempt, cancel := context.WithTimeout(ctx, limit)
		told = s.tellSchema(attempt, told)
		loose, err := s.store.LooseSettings(attempt)
		if len(loose) > 0 {
			s.log.Warn("sessions of the database are not bounded as they should be", "settings", loose)
		}
		err = errors.Join(err, s.store.PurgeRevocations(attempt), s.store.PurgeResets(attempt), s.service.PurgeGuesses(attempt))
		purged, purgeErr := s.service.Purge(attempt, auth.Caller{Actor: audit.BySystem}) // last: it may take all the time there is
		err = errors.Join(err, purgeErr)
		cancel()
		s.metrics.Maintained(purged, err)
		if purged.Families > 0 || len(purged.Partitions) > 0 || purged.InUse > 0 {
			s.log.Info("purged", "families", purged.Families, "partitions", purged.Partitions, "in_use", purged.InUse)
		}
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("maintenance failed; it is tried again until it succeeds", "error", err)
		}
		failing = err != nil
		wait := calm
		if failing {
			wait = troubled
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
