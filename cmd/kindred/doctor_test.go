package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

// examined is what doctor finds with these settings, those that serve has.
func examined(t testing.TB, environ ...string) []finding {
	t.Helper()
	settings := append([]string{
		keyEncryptionKey, "JWT_REFRESH_SECRET=" + refreshSecret, "PUBLIC_URL=https://id.example", "LISTEN_ADDR=127.0.0.1:3000",
	}, environ...)
	return examine(t.Context(), process{environ: settings, dir: t.TempDir()}, time.Now())
}

// wantFinding looks for a finding of that level which says so, and something to do unless it says that itself.
func wantFinding(t testing.TB, findings []finding, check string, l level, what string) {
	t.Helper()
	for _, f := range findings {
		if f.Check == check && f.Level == l && strings.Contains(f.What, what) && !strings.HasPrefix(f.What, "could not be examined") {
			if l != levelOK && f.Do == "" && !strings.Contains(f.What, "run `kindred") {
				t.Errorf("%s: %s: what is to be done?", check, f.What)
			}
			return
		}
	}
	t.Errorf("no %s of %s says %q in\n%s", l, check, what, spoken(findings))
}

func spoken(findings []finding) (text string) {
	for _, f := range findings {
		text += fmt.Sprintf("%s %s: %s → %s\n", f.Level, f.Check, f.What, f.Do)
	}
	return text
}

// withRole is the address of a database as another user.
func withRole(t testing.TB, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "none")
	return u.String()
}

func TestDoctor_HealthyServer(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t)
	const role = `
		CREATE ROLE server LOGIN PASSWORD 'none';
		GRANT SELECT, INSERT, UPDATE, DELETE ON users, token_families, revocations, signing_keys, clients, throttle, password_resets TO server;
		GRANT SELECT, INSERT ON refresh_tokens, audit_events TO server;
		GRANT SELECT ON goose_db_version, installation TO server`
	server.Exec(t, role)
	lacking := examined(t, "DATABASE_URL="+withRole(t, server.URL(), "server"))
	wantFinding(t, lacking, "grants", levelProblem, "EXECUTE on kindred_ensure_partitions")
	server.Exec(t, `GRANT EXECUTE ON FUNCTION kindred_ensure_partitions, kindred_drop_past_partition TO server`)

	findings := examined(t, "DATABASE_URL="+withRole(t, server.URL(), "server"))
	var checks []string
	for _, f := range findings {
		if f.Check == "database tls" { // a container is another machine, and speaks in clear
			continue
		}
		// A server for tests forgets what it pleases.
		if f.Level != levelOK && f.Check != "durability" {
			t.Errorf("%s %s: %s", f.Level, f.Check, f.What)
		}
		checks = append(checks, f.Check)
	}
	const want = "settings, public url, proxies, tls, database, grants, durability, sessions, clock, schema, installation, partitions, feed, keys"
	if got := strings.Join(checks, ", "); got != want {
		t.Errorf("examined %s\n  want %s", got, want)
	}
}

func TestDoctor_DatabasesThatAreIll(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		infect func(t *testing.T, db *testdb.DB) (address string, more []string)
		check  string
		level  level
		what   string
	}{
		"a superuser":      {whole, "role", levelWarning, "superuser"},
		"no schema":        {func(t *testing.T, _ *testdb.DB) (string, []string) { return testdb.Empty(t).URL(), nil }, "schema", levelProblem, "kindred migrate up"},
		"a restored copy":  {func(t *testing.T, db *testdb.DB) (string, []string) { return db.Copy(t).URL(), nil }, "installation", levelProblem, "restore-guard"},
		"half a minute":    {later(30 * time.Second), "clock", levelWarning, "30"},
		"two minutes":      {later(-2 * time.Minute), "clock", levelProblem, "beyond the minute"},
		"nobody makes any": {later(40 * 24 * time.Hour), "partitions", levelWarning, "2 weeks"},
		"none are left":    {later(90 * 24 * time.Hour), "partitions", levelProblem, "missing"},
		"a standby": {func(t *testing.T, db *testdb.DB) (string, []string) {
			db.SetStandby(t, true)
			return db.URL(), nil
		}, "database", levelProblem, "standby"},
		"read-only":         {appended("default_transaction_read_only=on"), "database", levelProblem, "read-only"},
		"locks without end": {appended("lock_timeout=0"), "sessions", levelProblem, "lock_timeout is 0"},
		"the feed of another database": {func(t *testing.T, db *testdb.DB) (string, []string) {
			return db.URL(), []string{"REVOCATION_LISTEN_URL=" + testdb.New(t).URL()}
		}, "feed", levelProblem, "different"},
		"a pooler": {func(_ *testing.T, db *testdb.DB) (string, []string) {
			return db.URL(), []string{"DATABASE_POOLER=transaction"}
		}, "feed", levelNote, "pooler"},
		"another key-encryption key": {func(t *testing.T, db *testdb.DB) (string, []string) {
			makeKey(t, db)
			return db.URL(), []string{anotherKey}
		}, "keys", levelProblem, "does not open"},
		"no key-encryption key": {func(t *testing.T, db *testdb.DB) (string, []string) {
			makeKey(t, db)
			return db.URL(), []string{"KEY_ENCRYPTION_KEY=", "JWT_SECRET=" + jwtSecret}
		}, "keys", levelWarning, "JWT_SECRET signs"},
		"an old key": {func(t *testing.T, db *testdb.DB) (string, []string) {
			makeKey(t, db)
			db.Exec(t, `UPDATE signing_keys SET sign_from = sign_from - interval '400 days', published_at = published_at - interval '401 days'`)
			return db.URL(), nil
		}, "keys", levelWarning, "400 days"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, more := c.infect(t, testdb.New(t))
			wantFinding(t, examined(t, append(more, "DATABASE_URL="+address)...), c.check, c.level, c.what)
		})
	}
}

func whole(_ *testing.T, db *testdb.DB) (string, []string) { return db.URL(), nil }

func later(d time.Duration) func(*testing.T, *testdb.DB) (string, []string) {
	return func(t *testing.T, db *testdb.DB) (string, []string) {
		db.Advance(t, d)
		return db.URL(), nil
	}
}

func appended(setting string) func(*testing.T, *testdb.DB) (string, []string) {
	return func(_ *testing.T, db *testdb.DB) (string, []string) { return db.URL() + "&" + setting, nil }
}

// makeKey has a server make the first one.
func makeKey(t *testing.T, db *testdb.DB) {
	t.Helper()
	s := replicaBeside(t, serveEnvironment(db.URL(), keyEncryptionKey))
	if err := s.service.LoadKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDoctor_WhatACrashWouldCost(t *testing.T) {
	t.Parallel()
	good := store.Server{Fsync: true, FullPages: true, SynchronousCommit: "on", SynchronousStandbys: "ANY 1 (a, b)"}
	for what, c := range map[string]struct {
		change func(*store.Server)
		level  level
	}{
		"with a standby":          {func(*store.Server) {}, levelOK},
		"fsync is off":            {func(s *store.Server) { s.Fsync = false }, levelProblem},
		"full_page_writes is off": {func(s *store.Server) { s.FullPages = false }, levelProblem},
		"synchronous_commit":      {func(s *store.Server) { s.SynchronousCommit = "off" }, levelProblem},
		"no standby is":           {func(s *store.Server) { s.SynchronousStandbys = "" }, levelNote},
	} {
		e := examination{server: good}
		c.change(&e.server)
		e.durability()
		wantFinding(t, e.findings, "durability", c.level, what)
	}
}

func TestDoctor_SettingsWithoutADatabase(t *testing.T) {
	t.Parallel()
	const away = "DATABASE_URL=postgres://kindred:s3cret@127.0.0.1:1/kindred"
	for name, c := range map[string]struct {
		setting, check string
		level          level
		what           string
	}{
		"the database is away":   {away, "database", levelProblem, "does not answer"},
		"a setting is wrong":     {"JWT_EXPIRATION=soon", "settings", levelProblem, "JWT_EXPIRATION"},
		"everybody is a proxy":   {"TRUSTED_PROXIES=10.0.0.0/8,0.0.0.0/0", "proxies", levelProblem, "0.0.0.0/0"},
		"a proxy":                {"TRUSTED_PROXIES=10.0.0.0/8", "proxies", levelOK, "1 networks"},
		"plain HTTP for all":     {"LISTEN_ADDR=:3000", "tls", levelWarning, "plain HTTP"},
		"plain HTTP to browsers": {"PUBLIC_URL=http://id.example", "public url", levelWarning, "HTTPS"},
		"in clear all the same":  {"ALLOW_PLAINTEXT=true", "public url", levelNote, "in clear"},
		"an unverified feed":     {"REVOCATION_LISTEN_URL=postgres://kindred:s3cret@db.example/kindred?sslmode=require", "database tls", levelWarning, "REVOCATION_LISTEN_URL: whoever stands on the way to db.example"},
		"an address for one":     {"PUBLIC_URL=", "public url", levelWarning, "one machine"},
		"no such certificate":    {"TLS_CERT_FILE=/nowhere", "tls", levelProblem, "read certificate: no such file"},
		// A key in place of its file's name is not repeated.
		"a key for a file": {"TLS_CERT_FILE=s3cret", "tls", levelProblem, "read certificate: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			findings := examined(t, away, c.setting)
			wantFinding(t, findings, c.check, c.level, c.what)
			wantFinding(t, findings, "database", levelProblem, "does not answer")
			if strings.Contains(spoken(findings), "s3cret") || strings.Contains(spoken(findings), refreshSecret) {
				t.Errorf("a secret is told:\n%s", spoken(findings))
			}
		})
	}
}

func TestDoctor_Certificates(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		host       string
		begin, end time.Duration // from now
		level      level
		what       string
	}{
		"good":               {"id.example", -day, 90 * day, levelOK, "is good until"},
		"soon over":          {"id.example", -day, 3 * day, levelWarning, "expires at"},
		"over":               {"id.example", -9 * day, -day, levelProblem, "expired at"},
		"not yet":            {"id.example", day, 90 * day, levelProblem, "not valid before"},
		"for another server": {"other.example", -day, 90 * day, levelWarning, "not for the host"},
	} {
		e := examination{now: time.Now(), valid: true}
		e.cfg.PublicURL = "https://id.example"
		cert, key := certificate(t, c.host, e.now.Add(c.begin), e.now.Add(c.end))
		e.certificate(process{environ: []string{"TLS_CERT_FILE=" + cert, "TLS_KEY_FILE=" + key}, dir: t.TempDir()})
		if found := e.findings; len(found) == 0 || found[len(found)-1].Level != c.level || !strings.Contains(found[len(found)-1].What, c.what) {
			t.Errorf("%s: %s", name, spoken(found))
		}
	}
}

// certificate writes one that signs itself, and its key.
func certificate(t testing.TB, host string, begin, end time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: begin, NotAfter: end,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestDoctor_TellsAndCounts(t *testing.T) {
	t.Parallel()
	environ := serveEnvironment(testdb.Empty(t).URL())
	stdout, stderr, code := run(t, "", environ, "doctor")
	for _, part := range []string{"problem  schema", "warning  role", "ok       settings", "problems found:"} {
		if code != exitFailed || !strings.Contains(stdout+stderr, part) {
			t.Errorf("exit code %d, %q is not in\n%s%s", code, part, stdout, stderr)
		}
	}
	if stdout, _, _ := run(t, "", environ, "doctor", "--json"); !strings.Contains(stdout, `{"check":"schema","level":"problem","what":"`) {
		t.Errorf("--json prints %s", stdout)
	}
}
