package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// keyVector is a key of testdata/vectors/signing_keys.json: those of RFC 7515 §A.3 and RFC 8037 §A.1, and
// one made for it. What is sealed there was sealed once and for all, and its token was signed then: whoever
// changes the formats loses the keys of every database.
type keyVector struct {
	Algorithm Algorithm         `json:"algorithm"`
	KeyID     string            `json:"kid"`
	Sealed    []byte            `json:"sealed"`
	JWK       map[string]string `json:"jwk"`
	Token     string            `json:"token"`
}

func keyVectors(t testing.TB) (keyEncryptionKey []byte, vectors []keyVector) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors/signing_keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		KeyEncryptionKey []byte      `json:"keyEncryptionKey"`
		Keys             []keyVector `json:"keys"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.KeyEncryptionKey, file.Keys
}

// signingKeys are those of the vectors, in the order of the file: ES256, EdDSA, RS256.
func signingKeys(t testing.TB) []SigningKey {
	t.Helper()
	kek, vectors := keyVectors(t)
	var list []SigningKey
	for _, v := range vectors {
		list = append(list, open(t, newKeyBox(t, kek), v))
	}
	return list
}

func open(t testing.TB, box *KeyBox, v keyVector) SigningKey {
	t.Helper()
	k, err := box.Open(v.KeyID, v.Algorithm, v.Sealed)
	if err != nil {
		t.Fatalf("%s: %v", v.Algorithm, err)
	}
	return k
}

func keysOf(t testing.TB, list ...SigningKey) *Keys {
	t.Helper()
	keys := NewKeys()
	if err := keys.Replace(list); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeyVectors_OpenAndVerify(t *testing.T) {
	t.Parallel()
	kek, vectors := keyVectors(t)
	for _, v := range vectors {
		t.Run(string(v.Algorithm), func(t *testing.T) {
			t.Parallel()
			keys := keysOf(t, open(t, newKeyBox(t, kek), v))
			verifier := verifierOf(t, keys, issuedAt)
			claims, err := verifier.Verify(v.Token)
			if err != nil || claims.KeyID != v.KeyID || claims.Custom["plan"] != "gold" {
				t.Errorf("claims %+v, error %v", claims, err)
			}
			var set struct{ Keys []map[string]string }
			if err := json.Unmarshal(keys.JWKS(), &set); err != nil {
				t.Fatal(err)
			}
			// Not one member more: no part of the private key.
			if len(set.Keys) != 1 || fmt.Sprint(set.Keys[0]) != fmt.Sprint(v.JWK) {
				t.Errorf("key set %s, want %v", keys.JWKS(), v.JWK)
			}
			if got := thumbprint(v.JWK); got != v.KeyID {
				t.Errorf("kid %s, want the thumbprint %s", v.KeyID, got)
			}
		})
	}
}

// thumbprint is RFC 7638 §3 by hand: the members that the key type requires, in order, nothing else.
func thumbprint(jwk map[string]string) string {
	var members []string
	for name, value := range jwk {
		if slices.Contains([]string{"crv", "kty", "x", "y", "e", "n"}, name) {
			members = append(members, fmt.Sprintf("%q:%q", name, value))
		}
	}
	slices.Sort(members)
	digest := sha256.Sum256([]byte("{" + strings.Join(members, ",") + "}"))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func TestGenerateKey_SignsWhatVerifies(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []Algorithm{ES256, EdDSA, RS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			made, err := GenerateKey(algorithm)
			if err != nil || made.Algorithm != algorithm {
				t.Fatalf("made %s, error %v", made.Algorithm, err)
			}
			keys := keysOf(t, made)
			claims, err := verifierOf(t, keys, issuedAt).Verify(issueWith(t, keys, someClaims()))
			if err != nil || claims.KeyID != made.ID {
				t.Errorf("claims %+v, error %v", claims, err)
			}
		})
	}
	for _, algorithm := range []Algorithm{"", "HS256", "none", "ES512"} {
		if _, err := GenerateKey(algorithm); err == nil {
			t.Errorf("a key of algorithm %q was made", algorithm)
		}
	}
}

// Whoever verifies needs no line of ours: the key set, and a library.
func TestIssue_VerifiesWithAnotherLibrary(t *testing.T) {
	t.Parallel()
	list := signingKeys(t)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(keysOf(t, list...).JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range list {
		signed, err := jose.ParseSignedCompact(issueWith(t, keysOf(t, k), someClaims()), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.Algorithm)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signed.Verify(set); err != nil {
			t.Errorf("%s: %v", k.Algorithm, err)
		}
	}
}

// Which key signs follows from the instant of the grant alone, so that all replicas agree on it.
func TestKeys_WhoSignsWhen(t *testing.T) {
	t.Parallel()
	list := signingKeys(t)
	retiring, signs, follows := list[0], list[1], list[2]
	retiring.Retiring = true
	retiring.SignFrom, signs.SignFrom, follows.SignFrom = issuedAt.Add(-time.Hour), issuedAt, issuedAt.Add(time.Hour)
	keys := keysOf(t, retiring, signs, follows)
	for _, c := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"an instant before the key that signs now: its predecessor signs no more", issuedAt.Add(-time.Nanosecond), signs.ID},
		{"on the instant", issuedAt, signs.ID},
		{"an instant before the next", issuedAt.Add(time.Hour - time.Nanosecond), signs.ID},
		{"on the instant of the next", issuedAt.Add(time.Hour), follows.ID},
		{"long after", issuedAt.AddDate(1, 0, 0), follows.ID},
	} {
		if k, err := keys.signingAt(c.at); err != nil || k.id != c.want {
			t.Errorf("%s: %s signs, error %v, want %s", c.name, k.id, err, c.want)
		}
	}
	if since, next := keys.SigningSince(issuedAt.Add(time.Minute)); !since.Equal(issuedAt) || !next.Equal(issuedAt.Add(time.Hour)) {
		t.Errorf("signs since %v, the next from %v", since, next)
	}
	if since, next := keys.SigningSince(issuedAt.AddDate(1, 0, 0)); !since.Equal(issuedAt.Add(time.Hour)) || !next.IsZero() {
		t.Errorf("a year later: since %v, the next from %v", since, next)
	}
	for _, empty := range []*Keys{NewKeys(), keysOf(t, retiring)} {
		if since, next := empty.SigningSince(issuedAt); !since.IsZero() || !next.IsZero() {
			t.Errorf("no key has signed since %v, none will from %v", since, next)
		}
		if _, err := empty.signingAt(issuedAt); !errors.Is(err, ErrNoSigningKey) || empty.Ready() {
			t.Errorf("error %v, want ErrNoSigningKey", err)
		}
	}
	if NewKeys().JWKS() != nil {
		t.Error("a key set is shown although none was loaded")
	}
}

// The second check of a token costs no signature, whatever the algorithm.
func TestVerify_SecondCheckCostsNoSignature(t *testing.T) {
	t.Parallel()
	for _, k := range signingKeys(t) {
		keys := keysOf(t, k)
		raw, signatures := issueWith(t, keys, someClaims()), countSignatures(keys)
		now := issuedAt
		v := verifierOf(t, keys, now)
		v.config.Now = func() time.Time { return now }
		for range 3 {
			if _, err := v.Verify(raw); err != nil {
				t.Fatal(err)
			}
		}
		if got := signatures.Load(); got != 1 {
			t.Errorf("%s: %d signatures were checked, want 1", k.Algorithm, got)
		}
		now = issuedAt.Add(2 * time.Hour)
		if _, err := v.Verify(raw); !errors.Is(err, ErrExpiredAccessToken) {
			t.Errorf("%s: what was verified outlives its expiry: %v", k.Algorithm, err)
		}
	}
}

func TestVerify_KeyThatIsGoneBeatsTheMemory(t *testing.T) {
	t.Parallel()
	list := signingKeys(t)
	keys := keysOf(t, list[0])
	v, raw := verifierOf(t, keys, issuedAt), issueWith(t, keys, someClaims())
	if _, err := v.Verify(raw); err != nil {
		t.Fatal(err)
	}
	if err := keys.Replace(list[1:]); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(raw); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("error %v, want ErrUnknownKey", err)
	}
}

// A wrong signature is never remembered as a good one, nor is a good one's memory of use to another token.
func TestVerify_MemoryHoldsWholeTokens(t *testing.T) {
	t.Parallel()
	keys := keysOf(t, signingKeys(t)...)
	v, raw := verifierOf(t, keys, issuedAt), issueWith(t, keys, someClaims())
	parts := strings.Split(raw, ".")
	other := strings.Split(issueWith(t, keys, AccessClaims{}), ".")
	if _, err := v.Verify(raw); err != nil {
		t.Fatal(err)
	}
	for _, forged := range []string{parts[0] + "." + other[1] + "." + parts[2], parts[0] + "." + parts[1] + "." + other[2]} {
		wantInvalid(t, v, forged)
		wantInvalid(t, v, forged)
	}
}

func TestMemory_IsBoundedAndKeepsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, bytes := range map[string]int{"many": 600, "large": 16 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			generation := min(maxRemembered, maxRememberedBytes/bytes)
			var m memory
			has := func(text []byte) bool {
				_, there := m.get(sha256.Sum256(text))
				return there
			}
			m.add(sha256.Sum256([]byte("favourite")), remembered{bytes: bytes})
			for i := range 3*generation + 1 {
				m.add(sha256.Sum256(fmt.Append(nil, i)), remembered{bytes: bytes})
				if i%(generation/2) == 0 && !has([]byte("favourite")) {
					t.Fatalf("what is asked for often was forgotten after %d others", i)
				}
			}
			if size := len(m.young) + len(m.old); size > 2*generation+2 {
				t.Errorf("%d tokens are remembered, %d at most", size, 2*generation)
			}
			if has(fmt.Append(nil, 0)) {
				t.Error("the oldest was not forgotten")
			}
		})
	}
}

func TestVerify_RememberedTokenSaysTheSame(t *testing.T) {
	t.Parallel()
	now := issuedAt
	keys := keysOf(t, signingKeys(t)...)
	config := configOf(keys, issuedAt)
	config.Now = func() time.Time { return now }
	v, err := NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	raw := issueWith(t, keys, someClaims())
	first, err := v.Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.Verify(raw)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("first %+v, then %+v, error %v", first, second, err)
	}
	now = issuedAt.Add(-2 * leeway)
	if _, err := v.Verify(raw); !errors.Is(err, ErrInvalidAccessToken) {
		t.Errorf("before it begins: error %v", err)
	}
	now = someClaims().ExpiresAt.Add(leeway)
	if _, err := v.Verify(raw); !errors.Is(err, ErrExpiredAccessToken) {
		t.Errorf("after it ends: error %v", err)
	}
}

// Nobody who is handed claims can change what others are handed.
func TestVerify_CustomClaimsAreEachCallersOwn(t *testing.T) {
	t.Parallel()
	keys := keysOf(t, signingKeys(t)[0])
	c := someClaims()
	c.Custom = map[string]any{"plan": "gold", "groups": []any{"a"}, "address": map[string]any{"city": "Bern"}}
	v, raw := verifierOf(t, keys, issuedAt), issueWith(t, keys, c)
	first, err := v.Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	first.Custom["groups"].([]any)[0] = "admins"
	first.Custom["address"].(map[string]any)["city"] = "Basel"
	delete(first.Custom, "plan")
	second, err := v.Verify(raw)
	if err != nil || fmt.Sprint(second.Custom) != fmt.Sprint(c.Custom) {
		t.Errorf("custom claims %v, error %v, want %v", second.Custom, err, c.Custom)
	}
}

// Keys come and go while another signs: each call sees one whole set.
func TestKeys_ReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	list := signingKeys(t)
	list[1].Retiring, list[2].Retiring = true, true
	keys := keysOf(t, list...)
	v := verifierOf(t, keys, issuedAt)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if _, err := v.Verify(issueWith(t, keys, someClaims())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 200 {
		if err := keys.Replace(list[:1+i%3]); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// counting counts the signatures that are checked.
type counting struct {
	jwt.SigningMethod
	checked *atomic.Int64
}

func (c counting) Verify(text string, signature []byte, key any) error {
	c.checked.Add(1)
	return c.SigningMethod.Verify(text, signature, key)
}

func countSignatures(keys *Keys) *atomic.Int64 {
	checked := new(atomic.Int64)
	set := keys.set.Load()
	for id, k := range set.byID {
		k.method = counting{k.method, checked}
		set.byID[id] = k
	}
	return checked
}
