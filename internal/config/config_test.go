package config_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kindred/internal/config"
)

const (
	jwtSecret     = "4T0t9mVsbi4TnE0nVt8Xh3c5mQhJq2wC"
	refreshSecret = "oK7fZ1yPq9uWc3sLd5vBn8xMg2hRj6tE"

	keyEncryptionKey = "mHZUMhD+3LqYdlQyEP7cuph2VDIQ/ty6mHZUMhD+3Lo="
	previousKey      = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
)

// complete is the least that serve needs.
func complete() map[string]string {
	return map[string]string{"DATABASE_URL": "postgres://db/kindred", "JWT_SECRET": jwtSecret, "JWT_REFRESH_SECRET": refreshSecret}
}

func source(values map[string]string) config.Source {
	var environ []string
	for name, value := range values {
		environ = append(environ, name+"="+value)
	}
	return config.Source{Environ: environ}
}

func load(t *testing.T, change map[string]string) config.Config {
	t.Helper()
	values := complete()
	maps.Copy(values, change)
	c, err := config.Load(source(values))
	if err != nil {
		t.Fatalf("%v: %v", change, err)
	}
	return c
}

func TestLoad_Defaults(t *testing.T) {
	t.Parallel()
	c := load(t, map[string]string{"PORT": "", "PUBLIC_URL": ""}) // an empty variable is an unset one
	if c.ListenAddr != "127.0.0.1:3000" || c.PublicURL != "http://localhost:3000" || c.Audience != c.PublicURL ||
		c.JWTExpiration != time.Hour || c.JWTRefreshExpiration != 24*time.Hour || c.FamilyMaxLifetime != 720*time.Hour ||
		c.RefreshReuseInterval != 10*time.Second || c.RequestTimeout != 5*time.Second || c.RegistrationOpen || c.RevokePacedTheft || int(c.DatabaseMaxConns) != min(8*runtime.GOMAXPROCS(0), 64) || c.RotationGroup != min(16*runtime.GOMAXPROCS(0), 128) ||
		c.LogLevel != slog.LevelInfo || c.HashSlots != 0 || c.MaxSessionsPerUser != 100 || len(c.CORSAllowedOrigins)+len(c.TrustedProxies)+len(c.Warnings) != 0 {
		t.Errorf("defaults %+v", c)
	}
}

// Replicas listen where they may: past a pooler, and not through it.
func TestLoad_WhereToListen(t *testing.T) {
	t.Parallel()
	const direct = "postgres://primary/kindred"
	cases := map[string]struct {
		change map[string]string
		url    string
		listen bool
		pooled bool
	}{
		"neither":      {nil, "postgres://db/kindred", true, false},
		"no pooler":    {map[string]string{"DATABASE_POOLER": "none"}, "postgres://db/kindred", true, false},
		"pooler":       {map[string]string{"DATABASE_POOLER": "transaction"}, "postgres://db/kindred", false, true},
		"both":         {map[string]string{"DATABASE_POOLER": "transaction", "REVOCATION_LISTEN_URL": direct}, direct, true, true},
		"another host": {map[string]string{"REVOCATION_LISTEN_URL": direct}, direct, true, false},
	}
	for name, tc := range cases {
		c := load(t, tc.change)
		if c.RevocationListenURL.Reveal() != tc.url || c.RevocationListen != tc.listen || c.DatabasePooled != tc.pooled {
			t.Errorf("%s: URL %s, listen %v, pooled %v", name, c.RevocationListenURL.Reveal(), c.RevocationListen, c.DatabasePooled)
		}
	}
}

func TestLoad_Values(t *testing.T) {
	t.Parallel()
	c := load(t, map[string]string{
		"PORT": "8080", "AUDIENCE": "https://api.example", "JWT_EXPIRATION": "900", "JWT_REFRESH_EXPIRATION": "36h30m", "FAMILY_MAX_LIFETIME": "9600h",
		"REFRESH_REUSE_INTERVAL": "0", "REQUEST_TIMEOUT": "250ms", "REGISTRATION": "open", "TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1,2001:db8::/32",
		"CORS_ALLOWED_ORIGINS": "https://app.example,http://localhost:5173", "HASH_SLOTS": "3", "LOG_LEVEL": "debug", "MAX_SESSIONS_PER_USER": "7",
		"JWT_REFRESH_SECRET_PREVIOUS": strings.Repeat("ab", 20) + "\n" + strings.Repeat("cd", 20), "DATABASE_MAX_CONNS": "40",
		"PACED_THEFT": "revoke", "GUESSES_PER_NETWORK": "7/8", "REGISTRATIONS_PER_NETWORK": "9 / 10", "FORWARDED_HEADER": "forwarded",
	})
	if c.ListenAddr != "127.0.0.1:8080" || c.PublicURL != "http://localhost:8080" || c.Audience != "https://api.example" ||
		c.JWTExpiration != 15*time.Minute || c.JWTRefreshExpiration != 36*time.Hour+30*time.Minute || c.FamilyMaxLifetime != 400*24*time.Hour ||
		c.RefreshReuseInterval != 0 || c.RequestTimeout != 250*time.Millisecond || !c.RegistrationOpen || !c.RevokePacedTheft || c.HashSlots != 3 || c.LogLevel != slog.LevelDebug || c.DatabaseMaxConns != 40 || c.MaxSessionsPerUser != 7 {
		t.Errorf("loaded %+v", c)
	}
	if !slices.Equal(c.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")}) {
		t.Errorf("proxies %v", c.TrustedProxies)
	}
	if !slices.Equal(c.CORSAllowedOrigins, []string{"https://app.example", "http://localhost:5173"}) {
		t.Errorf("origins %v", c.CORSAllowedOrigins)
	}
	if c.GuessesPerNetwork != (config.Rate{7, 8}) || c.GuessesOverall != (config.Rate{3000, 300}) || c.RegistrationsRate != (config.Rate{9, 10}) || !c.ForwardedHeader {
		t.Errorf("limits %v, %v, %v, Forwarded %v", c.GuessesPerNetwork, c.GuessesOverall, c.RegistrationsRate, c.ForwardedHeader)
	}
	if len(c.JWTRefreshSecretPrevious) != 2 || c.JWTRefreshSecretPrevious[1].Reveal() != strings.Repeat("cd", 20) {
		t.Error("the previous secrets are not two")
	}
	if c := load(t, map[string]string{"LISTEN_ADDR": ":9000", "PORT": "8080", "ALLOW_PLAINTEXT": "true"}); c.ListenAddr != ":9000" {
		t.Errorf("LISTEN_ADDR does not win over PORT: %s", c.ListenAddr)
	}
}

// Each refusal names the setting and never repeats the value.
func TestLoad_Refusals(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{
		"PORT":                        {"0", "65536", "-1", "http", "3000x"},
		"LISTEN_ADDR":                 {"127.0.0.1", "localhost:http!", ":70000", "[::1"},
		"PUBLIC_URL":                  {"id.example", "https://id.example/", "https://id.example/auth", "ftp://id.example", "https://u:p4ssw0rd@id.example", "https://ID.example", "https://id.example?x", "https://"},
		"DATABASE_MAX_CONNS":          {"0", "-3", "many", "99999999999999999999"},
		"DATABASE_POOLER":             {"session", "true"},
		"JWT_EXPIRATION":              {"0", "-1", "soonish", "1e3", "25h", "99999999999999999999", "9223372036854775807", "9999999999h", "500ms"},
		"JWT_REFRESH_EXPIRATION":      {"0", "-5m", "721h", "9601h", "1 day"},
		"FAMILY_MAX_LIFETIME":         {"0s", "9601h", "-720h", "forever"},
		"REFRESH_REUSE_INTERVAL":      {"-1s", "61s", "61", "never"},
		"PACED_THEFT":                 {"true", "REVOKE", "off"},
		"REQUEST_TIMEOUT":             {"0", "99ms", "21s", "fast"},
		"DRAIN_DELAY":                 {"21s", "-1s", "a while"},
		"REGISTRATION":                {"perhaps", "OPEN", "true"},
		"TRUSTED_PROXIES":             {"10.0.0.0/33", "proxy.example", "10.0.0.1;10.0.0.2"},
		"CORS_ALLOWED_ORIGINS":        {"*", "https://*.example", "app.example", "https://app.example/", "null", "https://APP.example", "https://app.example:", "https://app.example:443", "http://app.example:80", "https://app.example:99999", "https://app.example:0"},
		"AUDIT_RETENTION":             {"23h", "87601h", "soon"},
		"MAX_SESSIONS_PER_USER":       {"0", "-1", "10001", "none"},
		"GUESSES_PER_NETWORK":         {"300", "0/30", "300/0", "300/-1", "1000001/1", "300/30/1", "x/y", "1.5/2"},
		"GUESSES_OVERALL":             {"3000"},
		"REGISTRATIONS_PER_NETWORK":   {"30:10"},
		"FORWARDED_HEADER":            {"x-real-ip", "Forwarded"},
		"HASH_SLOTS":                  {"0", "-2", "1025", "all"},
		"LOG_LEVEL":                   {"verbose", "INFO"},
		"ALLOW_WEAK_SECRETS":          {"yes", "1"},
		"JWT_SECRET":                  {"short-but-secret", "your_jwt_secret", "changeme-changeme-changeme-changeme", strings.Repeat("x", 40), refreshSecret},
		"JWT_REFRESH_SECRET":          {"your_jwt_refresh_secret", "tooShortToBeAnyGood"},
		"JWT_REFRESH_SECRET_PREVIOUS": {"tooShortToBeAnyGood", jwtSecret},
		"SIGNING_ALGORITHM":           {"HS256", "none", "es256", "RS256"}, // without KEY_ENCRYPTION_KEY none is of use
		"KEY_ENCRYPTION_KEY":          {"bm90IHlldA==", "no base64", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", strings.TrimSuffix(keyEncryptionKey, "="), strings.ReplaceAll(keyEncryptionKey, "/", "_"), keyEncryptionKey + "AAAA"},
		"KEY_ENCRYPTION_KEY_PREVIOUS": {keyEncryptionKey, "no base64", "bm90IHlldA=="},
		"OPS_ADDR":                    {"9464", "localhost", ":70000", "[::1"},
		"TLS_CERT_FILE":               {"/etc/cert.pem"},
	}
	for name, values := range cases {
		for _, value := range values {
			changed := complete()
			changed[name] = value
			_, err := config.Load(source(changed))
			var problems config.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: error %v", name, value, err)
				continue
			}
			if len(value) > 3 && strings.Contains(err.Error(), value) {
				t.Errorf("%s=%s: the value is in the message: %v", name, value, err)
			}
		}
	}
	for name := range complete() {
		without := complete()
		delete(without, name)
		if _, err := config.Load(source(without)); err == nil || !strings.Contains(err.Error(), name+" is not set") {
			t.Errorf("without %s: error %v", name, err)
		}
	}
}

// With a key-encryption key JWT_SECRET is not needed, and the two come from files like other secrets.
func TestLoad_KeyEncryptionKeys(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"DATABASE_URL": "postgres://db/kindred", "JWT_REFRESH_SECRET": refreshSecret, "SIGNING_ALGORITHM": "EdDSA",
		"KEY_ENCRYPTION_KEY_FILE": writeFile(t, keyEncryptionKey+"\n"), "KEY_ENCRYPTION_KEY_PREVIOUS": previousKey + "\n" + previousKey,
	}
	c, err := config.Load(source(values))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := config.LoadKeys(source(values))
	if err != nil {
		t.Fatal(err)
	}
	current, previous := decodeKey(t, keyEncryptionKey), decodeKey(t, previousKey)
	if c.KeyEncryptionKey.Reveal() != current || len(c.KeyEncryptionKeyPrevious) != 2 || c.KeyEncryptionKeyPrevious[1].Reveal() != previous ||
		c.SigningAlgorithm != "EdDSA" || c.JWTSecret.IsSet() {
		t.Errorf("loaded %+v", c)
	}
	if keys.KeyEncryptionKey != c.KeyEncryptionKey || len(keys.KeyEncryptionKeyPrevious) != 2 || keys.SigningAlgorithm != "EdDSA" {
		t.Errorf("the commands load %+v", keys)
	}
	delete(values, "KEY_ENCRYPTION_KEY_FILE")
	for _, missing := range []string{"JWT_SECRET is not set, and neither is KEY_ENCRYPTION_KEY", "SIGNING_ALGORITHM is set, but KEY_ENCRYPTION_KEY is not", "KEY_ENCRYPTION_KEY_PREVIOUS is set, but KEY_ENCRYPTION_KEY is not"} {
		if _, err := config.Load(source(values)); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("error %v, want %q", err, missing)
		}
	}
}

func decodeKey(t *testing.T, text string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(key)
}

func TestLoad_TellsEverythingAtOnceInTheOrderOfTheTable(t *testing.T) {
	t.Parallel()
	_, err := config.Load(source(map[string]string{"LOG_LEVEL": "x", "PORT": "x", "JWT_EXPIRATION": "x", "OPS_ADDR": "x"}))
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var names []string
	for _, p := range problems {
		name, _, _ := strings.Cut(p, " ")
		names = append(names, name)
	}
	if want := []string{"DATABASE_URL", "PORT", "JWT_SECRET", "JWT_EXPIRATION", "JWT_REFRESH_SECRET", "LOG_LEVEL", "OPS_ADDR"}; !slices.Equal(names, want) {
		t.Errorf("named %q, want %q", names, want)
	}
}

func TestLoad_WeakSecretsAreLetThroughOnRequest(t *testing.T) {
	t.Parallel()
	weak := map[string]string{"JWT_SECRET": "your_jwt_secret", "JWT_REFRESH_SECRET": "your_jwt_refresh_secret", "ALLOW_WEAK_SECRETS": "true"}
	c := load(t, weak)
	if len(c.Warnings) != 2 || !strings.HasPrefix(c.Warnings[0], "JWT_SECRET ") || strings.Contains(fmt.Sprint(c.Warnings), "your_") {
		t.Errorf("warnings %q", c.Warnings)
	}
	same := complete()
	maps.Copy(same, map[string]string{"JWT_SECRET": "same", "JWT_REFRESH_SECRET": "same", "ALLOW_WEAK_SECRETS": "true"})
	if _, err := config.Load(source(same)); err == nil || !strings.Contains(err.Error(), "is the same as") {
		t.Errorf("equal secrets: error %v", err)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoad_SecretsFromFiles(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"DATABASE_URL_FILE": writeFile(t, "postgres://db/x\n"), "JWT_SECRET_FILE": writeFile(t, jwtSecret+"\r\n"), "JWT_REFRESH_SECRET_FILE": writeFile(t, refreshSecret),
	}
	c, err := config.Load(source(values))
	if err != nil || c.JWTSecret.Reveal() != jwtSecret || c.DatabaseURL.Reveal() != "postgres://db/x" || c.JWTRefreshSecret.Reveal() != refreshSecret {
		t.Errorf("loaded %+v, error %v", c, err)
	}
	for name, file := range map[string]string{"is empty": writeFile(t, "\n"), "cannot be read": "/nowhere/at/all"} {
		changed := maps.Clone(values)
		changed["JWT_SECRET_FILE"] = file
		if _, err := config.Load(source(changed)); err == nil || !strings.Contains(err.Error(), "JWT_SECRET (JWT_SECRET_FILE) "+name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	both := maps.Clone(values)
	both["JWT_SECRET"] = jwtSecret
	if _, err := config.Load(source(both)); err == nil || !strings.Contains(err.Error(), "both set") {
		t.Errorf("both: error %v", err)
	}
}

func dotenv(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The tutorial's file with good secrets and a database is a complete configuration.
func TestLoad_TheTutorialsFile(t *testing.T) {
	t.Parallel()
	for name, lineEnd := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		text := strings.ReplaceAll("PORT=4000\nJWT_SECRET="+jwtSecret+"   # change me\nJWT_EXPIRATION=3600                 # 1 hour\n\n# comment\n"+
			"JWT_REFRESH_SECRET='"+refreshSecret+"'\nexport JWT_REFRESH_EXPIRATION=86400        # 1 day\nDATABASE_URL=\"postgres://u:p$HOME#x@db/kindred\"\n", "\n", lineEnd)
		c, err := config.Load(config.Source{Dir: dotenv(t, text)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.JWTSecret.Reveal() != jwtSecret || c.JWTRefreshSecret.Reveal() != refreshSecret || c.ListenAddr != "127.0.0.1:4000" || c.DatabaseURL.Reveal() != "postgres://u:p$HOME#x@db/kindred" {
			t.Errorf("%s: loaded %q %q %s %q", name, c.JWTSecret.Reveal(), c.JWTRefreshSecret.Reveal(), c.ListenAddr, c.DatabaseURL.Reveal())
		}
	}
	_, err := config.Load(config.Source{Dir: dotenv(t, "PORT=3000\nJWT_SECRET=your_jwt_secret # x\nJWT_REFRESH_SECRET=your_jwt_refresh_secret\nDATABASE_URL=x\n")})
	if err == nil || strings.Count(err.Error(), "is a placeholder") != 2 || !strings.Contains(err.Error(), "openssl rand") {
		t.Errorf("the placeholders: error %v", err)
	}
}

func TestLoad_WhatComesFirstWins(t *testing.T) {
	t.Parallel()
	dir := dotenv(t, "PORT=2\nJWT_EXPIRATION=2\nLOG_LEVEL=warn\nJWT_SECRET_FILE=/nowhere\nDATABASE_URL=postgres://dotenv/x\n")
	environ := source(complete()).Environ
	c, err := config.Load(config.Source{
		Dir: dir, Environ: append(environ, "JWT_EXPIRATION=3"),
		Defaults: map[string]string{"PORT": "1", "JWT_EXPIRATION": "1", "LOG_LEVEL": "debug", "REGISTRATION": "open"},
		Fixed:    map[string]string{"DATABASE_URL": "postgres://fixed/x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.ListenAddr != "127.0.0.1:2" || c.JWTExpiration != 3*time.Second || c.LogLevel != slog.LevelWarn || !c.RegistrationOpen || c.DatabaseURL.Reveal() != "postgres://fixed/x" {
		t.Errorf("loaded %+v", c)
	}
}

func TestLoad_BadFileIsToldByItsLine(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Source{Environ: source(complete()).Environ, Dir: dotenv(t, "PORT=3000\nJWT_SECRET s3cretvalue\n")})
	if err == nil || !strings.Contains(err.Error(), ".env line 2") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".env"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Source{Environ: source(complete()).Environ, Dir: dir}); err == nil || !strings.Contains(err.Error(), ".env cannot be read") {
		t.Errorf("a folder: error %v", err)
	}
}

func TestSecret_PrintsAsAPlaceholder(t *testing.T) {
	t.Parallel()
	c := load(t, nil)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "secret", c.JWTSecret)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %x", c, c, c, c.JWTSecret, c.JWTSecret) + log.String() + string(asJSON)
	if strings.Contains(printed, jwtSecret) || strings.Contains(printed, fmt.Sprintf("%x", jwtSecret)) || strings.Contains(printed, "postgres://db") {
		t.Errorf("printed in clear: %s", printed)
	}
}
