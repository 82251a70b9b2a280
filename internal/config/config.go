// Package config turns the environment into a typed Config. Every problem is told at once, by the
// name of the setting and never by its value, since a value may be a secret in the wrong place.
package config

import (
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Config is what `kindred serve` runs with.
type Config struct {
	DatabaseURL      Secret
	DatabaseMaxConns int32
	RotationGroup    int  // refreshes that share a statement at most
	DatabasePooled   bool // DatabaseURL leads through a pooler in transaction mode
	ListenAddr       string
	PublicURL        string // the issuer; an origin without a path
	Audience         string

	JWTSecret                Secret
	JWTExpiration            time.Duration
	KeyEncryptionKey         Secret // 32 bytes, or empty: access tokens are signed with JWTSecret
	KeyEncryptionKeyPrevious []Secret
	SigningAlgorithm         string
	JWTRefreshSecret         Secret
	JWTRefreshSecretPrevious []Secret
	JWTRefreshExpiration     time.Duration // idle
	FamilyMaxLifetime        time.Duration
	RefreshReuseInterval     time.Duration
	RevokePacedTheft         bool

	RevocationListenURL Secret // DatabaseURL unless it is set
	RevocationListen    bool   // not where that leads through a pooler

	RequestTimeout     time.Duration
	DrainDelay         time.Duration // between "not ready" and the end of the listener
	RegistrationOpen   bool
	AdminMaxAge        time.Duration // since an admin's login
	MaxSessionsPerUser int
	AuditRetention     time.Duration
	TrustedProxies     []netip.Prefix
	ForwardedHeader    bool // trusted proxies write Forwarded, not X-Forwarded-For
	GuessesPerNetwork  Rate
	GuessesOverall     Rate
	RegistrationsRate  Rate // per network
	CORSAllowedOrigins []string
	TLS                TLSConfig
	Passwords          PasswordConfig
	HashSlots          int // 0: the number of cores
	LogLevel           slog.Level
	OpsAddr            string // of metrics, profiles and health; empty: none
	Traces             Traces

	Warnings []string // weak secrets that were let through, by name
}

// Rate lets Burst through at once and PerMinute for good.
type Rate struct{ Burst, PerMinute int }

// Setting documents one variable.
type Setting struct {
	Name        string
	Default     string // as a person would write it; empty: none
	Description string
	File        bool // NAME_FILE is accepted too
}

// Settings lists all variables in the order in which README shows them.
func Settings() []Setting {
	return slices.Concat([]Setting{
		{Name: databaseURL, File: true, Description: "PostgreSQL 15 or newer, as a URL or as keywords. Required"},
		{Name: databaseMaxConns, Default: "8 for each core, 64 at most", Description: "connections that one replica opens at most"},
		{Name: rotationGroup, Default: "16 for each core, 128 at most", Description: "refreshes that share a statement, while others are under way; `1` gives each its own"},
		{Name: databasePooler, Default: "none", Description: "`transaction` where DATABASE_URL leads through PgBouncer in transaction mode: [what that needs](docs/operations.md#pgbouncer)"},
		{Name: port, Default: "3000", Description: "port on 127.0.0.1, where LISTEN_ADDR is not set"},
		{Name: listenAddr, Default: "127.0.0.1:$PORT", Description: "address to listen on; wins over PORT"},
		{Name: publicURL, Default: "http://localhost:$PORT", Description: "the server's own origin and the issuer of its tokens; the same on all replicas. https where it speaks TLS itself"},
		{Name: audience, Default: "$PUBLIC_URL", Description: "the audience of access tokens"},
		{Name: keyEncryptionKey, File: true, Description: "32 bytes in standard base64: access tokens are signed with keys that anyone can verify, kept in the database encrypted with it"},
		{Name: keyEncryptionKeyPrevious, File: true, Description: "further key-encryption keys that are accepted, separated by spaces or line breaks"},
		{Name: signingAlgorithm, Default: "ES256", Description: "of new signing keys: `ES256`, `EdDSA` or `RS256`"},
		{Name: jwtSecret, File: true, Description: "signs access tokens (HS256) where KEY_ENCRYPTION_KEY is not set, and is required there; 32 bytes at least"},
		{Name: jwtExpiration, Default: "3600", Description: "lifetime of an access token"},
		{Name: jwtRefreshSecret, File: true, Description: "authenticates and seals refresh tokens; 32 bytes at least, another than JWT_SECRET. Required"},
		{Name: jwtRefreshSecretPrevious, File: true, Description: "further refresh secrets that are accepted, separated by spaces or line breaks"},
		{Name: jwtRefreshExpiration, Default: "86400", Description: "lifetime of a refresh token that is not used"},
		{Name: familyMaxLifetime, Default: "720h", Description: "lifetime of a session whatever happens; 400 days at most"},
		{Name: refreshReuseInterval, Default: "10s", Description: "how long a used refresh token gives the same successor once more; 0 to 60s"},
		{Name: pacedTheft, Default: "audit", Description: "what comes of two parties that refresh in turns inside that interval: `audit` records it, `revoke` ends the session too"},
		{Name: requestTimeout, Default: "5s", Description: "deadline of a request; 100 ms to 20s, written as a duration with its unit or in seconds"},
		{Name: drainDelay, Default: "5s", Description: "how long `/readyz` says 503 after SIGTERM before the listener closes, for balancers to notice; 0 to 20s"},
		{Name: revocationListenURL, Default: "$DATABASE_URL", File: true, Description: "where replicas listen for revocations: the primary, past any pooler"},
		{Name: registration, Default: "closed", Description: "`open` lets people register; `dev` opens it"},
		{Name: adminMaxAge, Default: "15m", Description: "how long after a login an admin's session may use `/admin`; 1m to 24h"},
		{Name: auditRetention, Default: "8760h", Description: "how long the [audit trail](docs/audit.md) is kept, to the week; 24h to 87600h"},
		{Name: maxSessionsPerUser, Default: "100", Description: "live sessions of one user; a login beyond ends the oldest; 1 to 10000"},
		{Name: trustedProxies, Description: "addresses or CIDR blocks, separated by commas, that are believed about [the client's address](docs/guessing.md#whose-address)"},
		{Name: forwardedHeader, Default: "x-forwarded-for", Description: "the header that they write: `x-forwarded-for` or `forwarded` (RFC 7239)"},
		{Name: guessesPerNetwork, Default: "300/30", Description: "[wrong guesses](docs/guessing.md) that one network (/24, /48) has: a burst / so many a minute"},
		{Name: guessesOverall, Default: "3000/300", Description: "wrong guesses that all networks together have"},
		{Name: registrationsPerNetwork, Default: "30/10", Description: "registrations that one network may try"},
		{Name: corsAllowedOrigins, Description: "origins, separated by commas, whose pages may call with credentials"},
	}, tlsSettings(), passwordSettings(), []Setting{
		{Name: hashSlots, Default: "the number of cores", Description: "passwords that are hashed at once, each in PASSWORD_ARGON2_MEMORY; eight times as many wait"},
		{Name: logLevel, Default: "info", Description: "`debug`, `info`, `warn` or `error`"},
		{Name: allowWeakSecrets, Default: "false", Description: "`true` lets short and placeholder secrets through"},
		{Name: opsAddr, Description: "an address inside, such as 10.0.0.5:9464, where [metrics, profiles](docs/watching.md) and health are served, to whoever reaches it; `dev` has 127.0.0.1:9464 and the image :9464"},
		{Name: tracesEndpoint, Description: "where [traces](docs/watching.md#traces) go, by OTLP over HTTP; with OpenTelemetry's other variables"},
	})
}

// The names of the variables.
const (
	databaseURL              = "DATABASE_URL"
	databaseMaxConns         = "DATABASE_MAX_CONNS"
	rotationGroup            = "ROTATION_GROUP"
	databasePooler           = "DATABASE_POOLER"
	port                     = "PORT"
	listenAddr               = "LISTEN_ADDR"
	publicURL                = "PUBLIC_URL"
	audience                 = "AUDIENCE"
	keyEncryptionKey         = "KEY_ENCRYPTION_KEY"
	keyEncryptionKeyPrevious = "KEY_ENCRYPTION_KEY_PREVIOUS"
	signingAlgorithm         = "SIGNING_ALGORITHM"
	revocationListenURL      = "REVOCATION_LISTEN_URL"
	jwtSecret                = "JWT_SECRET"
	jwtExpiration            = "JWT_EXPIRATION"
	jwtRefreshSecret         = "JWT_REFRESH_SECRET"
	jwtRefreshSecretPrevious = "JWT_REFRESH_SECRET_PREVIOUS"
	jwtRefreshExpiration     = "JWT_REFRESH_EXPIRATION"
	familyMaxLifetime        = "FAMILY_MAX_LIFETIME"
	refreshReuseInterval     = "REFRESH_REUSE_INTERVAL"
	pacedTheft               = "PACED_THEFT"
	requestTimeout           = "REQUEST_TIMEOUT"
	drainDelay               = "DRAIN_DELAY"
	registration             = "REGISTRATION"
	adminMaxAge              = "ADMIN_MAX_AGE"
	maxSessionsPerUser       = "MAX_SESSIONS_PER_USER"
	auditRetention           = "AUDIT_RETENTION"
	trustedProxies           = "TRUSTED_PROXIES"
	forwardedHeader          = "FORWARDED_HEADER"
	guessesPerNetwork        = "GUESSES_PER_NETWORK"
	guessesOverall           = "GUESSES_OVERALL"
	registrationsPerNetwork  = "REGISTRATIONS_PER_NETWORK"
	corsAllowedOrigins       = "CORS_ALLOWED_ORIGINS"
	hashSlots                = "HASH_SLOTS"
	logLevel                 = "LOG_LEVEL"
	allowWeakSecrets         = "ALLOW_WEAK_SECRETS"
	opsAddr                  = "OPS_ADDR"
)

// forEachCore is a default that grows with the machine, or with what a container may use of it.
func forEachCore(n, most int) int { return min(n*runtime.GOMAXPROCS(0), most) }

// MaxJWTExpiration is the longest that an access token may live.
const MaxJWTExpiration = 24 * time.Hour

const (
	maxFamilyLifetime = 400 * 24 * time.Hour
	maxReuseInterval  = time.Minute
)

// Load reads the environment as `serve` and `dev` do. The error is a Problems.
func Load(source Source) (Config, error) {
	r := newReader(source)
	portNumber := r.integer(port, 3000, 1, 65535)
	c := Config{
		DatabaseURL:              r.databaseAddress(databaseURL),
		DatabaseMaxConns:         int32(r.integer(databaseMaxConns, forEachCore(8, 64), 1, 10000)),
		DatabasePooled:           r.pooled(),
		RotationGroup:            r.integer(rotationGroup, forEachCore(16, 128), 1, 256),
		ListenAddr:               r.listenAddress(portNumber),
		PublicURL:                r.origin(publicURL, portNumber),
		SigningAlgorithm:         r.choice(signingAlgorithm, "ES256", "ES256", "EdDSA", "RS256"),
		JWTExpiration:            r.duration(jwtExpiration, time.Hour, time.Second, MaxJWTExpiration),
		JWTRefreshSecret:         r.secret(jwtRefreshSecret),
		JWTRefreshSecretPrevious: r.previousSecrets(),
		JWTRefreshExpiration:     r.duration(jwtRefreshExpiration, 24*time.Hour, time.Second, maxFamilyLifetime),
		FamilyMaxLifetime:        r.familyLifetime(),
		RefreshReuseInterval:     r.duration(refreshReuseInterval, 10*time.Second, 0, maxReuseInterval),
		RevokePacedTheft:         r.choice(pacedTheft, "audit", "audit", "revoke") == "revoke",
		RequestTimeout:           r.duration(requestTimeout, 5*time.Second, 100*time.Millisecond, 20*time.Second),
		DrainDelay:               r.duration(drainDelay, 5*time.Second, 0, 20*time.Second),
		RegistrationOpen:         r.choice(registration, "closed", "open", "closed") == "open",
		AdminMaxAge:              r.duration(adminMaxAge, 15*time.Minute, time.Minute, 24*time.Hour),
		MaxSessionsPerUser:       r.integer(maxSessionsPerUser, 100, 1, 10000),
		AuditRetention:           r.auditRetention(),
		TrustedProxies:           r.prefixes(trustedProxies),
		ForwardedHeader:          r.choice(forwardedHeader, "x-forwarded-for", "x-forwarded-for", "forwarded") == "forwarded",
		GuessesPerNetwork:        r.rate(guessesPerNetwork, Rate{300, 30}),
		GuessesOverall:           r.rate(guessesOverall, Rate{3000, 300}),
		RegistrationsRate:        r.rate(registrationsPerNetwork, Rate{30, 10}),
		CORSAllowedOrigins:       r.origins(corsAllowedOrigins),
		Passwords:                r.passwords(),
		HashSlots:                r.integer(hashSlots, 0, 1, 1024),
		LogLevel:                 r.level(),
		OpsAddr:                  r.opsAddress(),
		Traces:                   r.traces(),
	}
	r.readTLS(&c)
	c.Audience = r.text(audience, c.PublicURL)
	c.KeyEncryptionKey, c.KeyEncryptionKeyPrevious = r.keyEncryptionKeys()
	c.JWTSecret = Secret{r.optionalSecret(jwtSecret)}
	c.RevocationListenURL = r.checkAddress(revocationListenURL, Secret{r.optionalSecret(revocationListenURL)})
	c.RevocationListen = true
	if c.RevocationListenURL.empty() {
		c.RevocationListenURL, c.RevocationListen = c.DatabaseURL, !c.DatabasePooled
	}
	r.checkLifetimes(c)
	r.checkSigning(c)
	weakAllowed := r.choice(allowWeakSecrets, "false", "true", "false") == "true"
	c.Warnings = r.checkSecrets(c, weakAllowed || source.WarnWeakSecrets)
	return c, r.err()
}

// KeyConfig is what the commands need that care for signing keys.
type KeyConfig struct {
	KeyEncryptionKey         Secret // 32 bytes, or empty
	KeyEncryptionKeyPrevious []Secret
	SigningAlgorithm         string
}

// LoadKeys reads the settings of the commands that care for signing keys.
func LoadKeys(source Source) (KeyConfig, error) {
	r := newReader(source)
	c := KeyConfig{SigningAlgorithm: r.choice(signingAlgorithm, "ES256", "ES256", "EdDSA", "RS256")}
	c.KeyEncryptionKey, c.KeyEncryptionKeyPrevious = r.keyEncryptionKeys()
	return c, r.err()
}

// LoadPurge reads what the command needs that purges, and makes partitions.
func LoadPurge(source Source) (lifetime, retention time.Duration, err error) {
	r := newReader(source)
	lifetime, retention = r.familyLifetime(), r.auditRetention()
	return lifetime, retention, r.err()
}

func (r *reader) familyLifetime() time.Duration {
	return r.duration(familyMaxLifetime, 720*time.Hour, time.Second, maxFamilyLifetime)
}

func (r *reader) auditRetention() time.Duration {
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	return r.duration(auditRetention, year, day, 10*year)
}

// LoadDatabase reads what the commands need that touch only the database.
func LoadDatabase(source Source) (url Secret, pooled bool, err error) {
	r := newReader(source)
	url, pooled = r.databaseAddress(databaseURL), r.pooled()
	return url, pooled, r.err()
}

// LoadPublicURL reads the setting of the command that makes links to the servers, which must not guess it.
func LoadPublicURL(source Source) (string, error) {
	r := newReader(source)
	if r.text(publicURL, "") == "" {
		r.problem(publicURL, "is not set")
	}
	return r.origin(publicURL, 0), r.err()
}

func (r *reader) pooled() bool {
	return r.choice(databasePooler, "none", "none", "transaction") == "transaction"
}

func (r *reader) checkLifetimes(c Config) {
	if c.JWTRefreshExpiration > c.FamilyMaxLifetime && !r.bad[jwtRefreshExpiration] && !r.bad[familyMaxLifetime] {
		r.problem(jwtRefreshExpiration, "is longer than "+familyMaxLifetime)
	}
	if c.JWTExpiration > c.FamilyMaxLifetime && !r.bad[jwtExpiration] && !r.bad[familyMaxLifetime] {
		r.problem(jwtExpiration, "is longer than "+familyMaxLifetime)
	}
}

// checkSigning sees to it that access tokens are signed as they were asked to be.
func (r *reader) checkSigning(c Config) {
	if c.KeyEncryptionKey.IsSet() || r.bad[keyEncryptionKey] {
		return
	}
	if c.JWTSecret.empty() && !r.bad[jwtSecret] {
		r.problem(jwtSecret, "is not set, and neither is "+keyEncryptionKey)
	}
	if r.text(signingAlgorithm, "") != "" && !r.bad[signingAlgorithm] {
		r.problem(signingAlgorithm, "is set, but "+keyEncryptionKey+" is not")
	}
}

// minSecretBytes: HS256 wants a key as long as its hash (RFC 7518 §3.2).
const minSecretBytes = 32

const makeSecret = "; `openssl rand -base64 48` makes a good one"

func (r *reader) checkSecrets(c Config, weakAllowed bool) (warnings []string) {
	check := func(name string, secret Secret) {
		if weakness := secret.weakness(); weakness != "" && weakAllowed {
			warnings = append(warnings, name+" "+weakness)
		} else if weakness != "" {
			r.problem(name, weakness+makeSecret)
		}
	}
	check(jwtSecret, c.JWTSecret)
	check(jwtRefreshSecret, c.JWTRefreshSecret)
	for _, secret := range c.JWTRefreshSecretPrevious {
		check(jwtRefreshSecretPrevious, secret)
		if secret == c.JWTSecret && !secret.empty() {
			r.problem(jwtRefreshSecretPrevious, "holds the value of "+jwtSecret)
		}
	}
	if c.JWTSecret == c.JWTRefreshSecret && !c.JWTSecret.empty() {
		r.problem(jwtRefreshSecret, "is the same as "+jwtSecret+": with one, the holder could make the other's tokens"+makeSecret)
	}
	return warnings
}

func (s Secret) weakness() string {
	text := strings.ToLower(s.text)
	switch {
	case s.empty():
		return ""
	case strings.HasPrefix(text, "your_") || strings.HasPrefix(text, "your-") || strings.Contains(text, "changeme") || strings.Contains(text, "change_me"):
		return "is a placeholder"
	case len(s.text) < minSecretBytes:
		return "is shorter than 32 bytes"
	case strings.Count(text, text[:1]) == len(text):
		return "is one character over and over"
	}
	return ""
}
