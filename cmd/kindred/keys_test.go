package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/testdb"
)

const (
	keyEncryptionKey = "KEY_ENCRYPTION_KEY=q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
	anotherKey       = "KEY_ENCRYPTION_KEY=mHZUMhD+3LqYdlQyEP7cuph2VDIQ/ty6mHZUMhD+3Lo="
)

// published lists the ids of a server's key set.
func (s *serving) published(t testing.TB) (ids []string) {
	t.Helper()
	a := s.get(t, "/.well-known/jwks.json", "")
	wantStatus(t, a, http.StatusOK)
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal([]byte(a.body), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	return ids
}

// awaitPublished returns once a server shows these keys.
func (s *serving) awaitPublished(t testing.TB, want ...string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for got := s.published(t); !slices.Equal(got, want); got = s.published(t) {
		if time.Now().After(deadline) {
			t.Fatalf("published are %v, want %v", got, want)
		}
	}
}

func keyOf(t testing.TB, a answer) string {
	t.Helper()
	encoded, _, _ := strings.Cut(a.field(t, "accessToken"), ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

func TestKeys_Commands(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	run := func(code int, pattern string, setting string, args ...string) (submatch string) {
		t.Helper()
		stdout, stderr, got := run(t, "", []string{"DATABASE_URL=" + db.URL(), setting}, append([]string{"keys"}, args...)...)
		match := regexp.MustCompile(`(?s)^` + pattern + `$`).FindStringSubmatch(stdout + stderr)
		if got != code || match == nil {
			t.Fatalf("keys %v: exit code %d, want %d with %s in\n%s%s", args, got, code, pattern, stdout, stderr)
		}
		if _, secret, _ := strings.Cut(setting, "="); len(secret) > 10 && strings.Contains(stdout+stderr, secret) {
			t.Errorf("keys %v prints the key-encryption key", args)
		}
		return match[len(match)-1]
	}
	const header = `KID +ALGORITHM +STATE +PUBLISHED +SIGNS FROM +VERIFIES UNTIL\n`
	const when = ` +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`
	run(0, header, keyEncryptionKey, "list")
	first := run(0, `published (\S{43})\n`, keyEncryptionKey, "rotate")
	run(0, header+first+` +ES256 +signing`+when+when+` *\n`, keyEncryptionKey, "list")
	second := run(0, `published (\S{43})\n`, keyEncryptionKey, "rotate")
	run(0, header+first+` +ES256 +signing`+when+when+` *\n`+second+` +ES256 +published`+when+when+` *\n`, keyEncryptionKey, "list")

	run(4, `kindred: that key signs, or is to sign; .*keys rotate.*\n`, keyEncryptionKey, "retire", "--", first)
	run(3, `kindred: no key of that id verifies access tokens; .*keys list.*\n`, keyEncryptionKey, "retire", "nobody's")
	run(3, `kindred: no key of that id verifies access tokens; .*keys list.*\n`, keyEncryptionKey, "revoke", "nobody's")
	run(1, `kindred: signing key `+first+` does not open: KEY_ENCRYPTION_KEY is not the one .*\n`, anotherKey, "rotate")
	run(1, `kindred: signing key \S+ does not open: .*\n`, anotherKey, "revoke", "--", first)
	run(1, `kindred: signing key \S+ does not open: .*\n`, anotherKey, "reencrypt")
	for _, args := range [][]string{{"rotate"}, {"revoke", "--", first}, {"reencrypt"}} {
		run(1, `kindred: KEY_ENCRYPTION_KEY is not set: access tokens are signed with JWT_SECRET.*\n`, "", args...)
	}
	run(1, `kindred: settings: KEY_ENCRYPTION_KEY is not 32 bytes in standard base64.*\n`, "KEY_ENCRYPTION_KEY=dG9vIHNob3J0IHRvIGJl", "rotate")
	run(1, `kindred: settings: KEY_ENCRYPTION_KEY_PREVIOUS is set, but KEY_ENCRYPTION_KEY is not\n`, "KEY_ENCRYPTION_KEY_PREVIOUS="+strings.TrimPrefix(anotherKey, "KEY_ENCRYPTION_KEY="), "list")
	run(1, `kindred: settings: SIGNING_ALGORITHM must be ES256 or EdDSA or RS256\n`, "SIGNING_ALGORITHM=HS256", "list")
	run(2, `kindred: accepts 1 arg.*\n`, keyEncryptionKey, "retire")

	run(0, `re-encrypted 2\n`, keyEncryptionKey, "reencrypt")
	third := run(0, `published (\S{43}), which signs from now on\n`, keyEncryptionKey, "revoke", "--", first)
	run(0, ``, keyEncryptionKey, "revoke", "--", second) // nobody signs with it: no successor
	run(0, header+first+` +ES256 +revoked`+when+when+` *\n.*`+third+` +ES256 +signing`+when+when+` *\n.*`, keyEncryptionKey, "list")
	run(0, header+`.*`, "", "list") // needs no key-encryption key
}

// Two servers on an empty database, as an operator's rollout starts them, and the life of their keys.
func TestServe_KeysOverTwoProcesses(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	var a, b *serving
	var starting sync.WaitGroup
	starting.Go(func() { a = startServing(t, serveEnvironment(db.URL(), keyEncryptionKey)) })
	b = startServing(t, serveEnvironment(db.URL(), keyEncryptionKey))
	starting.Wait()
	keys := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := run(t, "", []string{"DATABASE_URL=" + db.URL(), keyEncryptionKey}, append([]string{"keys"}, args...)...)
		if code != 0 {
			t.Fatalf("keys %v: %s", args, stderr)
		}
		return regexp.MustCompile(`[\w-]{43}`).FindString(stdout)
	}
	tokens := a.login(t, "user1")
	first := keyOf(t, tokens)
	for _, s := range []*serving{a, b} {
		s.awaitPublished(t, first)
		wantStatus(t, s.get(t, "/protected", tokens.field(t, "accessToken")), http.StatusOK)
	}
	second := keys("rotate")
	a.awaitPublished(t, first, second)
	b.awaitPublished(t, first, second)
	tokens = b.refresh(t, tokens.field(t, "refreshToken"))
	if got := keyOf(t, tokens); got != first {
		t.Errorf("%s signs, although it was published a moment ago", got)
	}

	// As if they had been published seven minutes earlier: the servers' own clocks cannot be moved.
	db.Exec(t, `UPDATE signing_keys SET published_at = published_at - interval '7 minutes', sign_from = sign_from - interval '7 minutes'`)
	deadline := time.Now().Add(30 * time.Second)
	for _, s := range []*serving{a, b} {
		for tokens = s.refresh(t, tokens.field(t, "refreshToken")); keyOf(t, tokens) != second; tokens = s.refresh(t, tokens.field(t, "refreshToken")) {
			if time.Now().After(deadline) {
				t.Fatal("the new key does not sign")
			}
		}
	}
	third := keys("revoke", "--", second)
	a.awaitPublished(t, first, third)
	b.awaitPublished(t, first, third)
	for _, s := range []*serving{a, b} {
		wantStatus(t, s.get(t, "/protected", tokens.field(t, "accessToken")), http.StatusForbidden)
		wantStatus(t, s.get(t, "/me", tokens.field(t, "accessToken")), http.StatusUnauthorized)
	}
	tokens = a.refresh(t, tokens.field(t, "refreshToken"))
	if got := keyOf(t, tokens); got != third {
		t.Errorf("%s signs, want %s", got, third)
	}
	wantStatus(t, b.get(t, "/protected", tokens.field(t, "accessToken")), http.StatusOK)
	keys("retire", "--", first)
	a.awaitPublished(t, third)
	b.awaitPublished(t, third)
}

func TestServe_StartsBeforePostgreSQL(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t)
	addUser(t, server.URL(), "user1")
	server.Stop(t, "fast")
	s := startServing(t, serveEnvironment(server.URL(), keyEncryptionKey, "REQUEST_TIMEOUT=2s"))
	for _, path := range []string{"/readyz", "/.well-known/jwks.json"} {
		wantStatus(t, s.get(t, path, ""), http.StatusServiceUnavailable)
	}
	wantStatus(t, s.mustPost(t, "/login", `{"username":"user1","password":"password123"}`), http.StatusServiceUnavailable)
	server.Start(t)
	deadline := time.Now().Add(30 * time.Second)
	for s.get(t, "/readyz", "").status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("not ready within 30 s of the database's start")
		}
	}
	tokens := s.login(t, "user1")
	wantStatus(t, s.get(t, "/protected", tokens.field(t, "accessToken")), http.StatusOK)
	s.awaitPublished(t, keyOf(t, tokens))
}

// The operator is told which key does not open, by its id, and strangers nothing but that.
func TestServe_WrongKeyEncryptionKeyIsNotReady(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	good := startServing(t, serveEnvironment(db.URL(), keyEncryptionKey))
	kid := keyOf(t, good.login(t, "user1"))
	bad := startServing(t, serveEnvironment(db.URL(), anotherKey))
	a := bad.get(t, "/readyz", "")
	wantStatus(t, a, http.StatusServiceUnavailable)
	if !strings.Contains(a.body, kid) {
		t.Errorf("/readyz does not name %s: %s", kid, a.body)
	}
	bad.logs.await(t, `("error":"load signing keys: signing key `+kid+` does not open)`)
	wantStatus(t, bad.get(t, "/.well-known/jwks.json", ""), http.StatusServiceUnavailable)
	wantStatus(t, bad.mustPost(t, "/login", `{"username":"user1","password":"password123"}`), http.StatusServiceUnavailable)
	wantStatus(t, good.get(t, "/readyz", ""), http.StatusOK)
	for _, setting := range []string{keyEncryptionKey, anotherKey} {
		if _, secret, _ := strings.Cut(setting, "="); strings.Contains(good.logs.String()+bad.logs.String(), secret) {
			t.Error("a key-encryption key is in the log")
		}
	}
	both := startServing(t, serveEnvironment(db.URL(), anotherKey, "KEY_ENCRYPTION_KEY_PREVIOUS="+strings.TrimPrefix(keyEncryptionKey, "KEY_ENCRYPTION_KEY=")))
	wantStatus(t, both.get(t, "/readyz", ""), http.StatusOK)
}
