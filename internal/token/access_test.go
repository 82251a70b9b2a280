package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

const issuerURL = "https://id.example"

var (
	issuedAt     = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	accessSecret = []byte("access secret of the tests, 32 bytes")
)

func configOf(keys *Keys, now time.Time) AccessConfig {
	return AccessConfig{Issuer: issuerURL, Audience: "https://api.example", Keys: keys, Now: func() time.Time { return now }}
}

func verifierOf(t testing.TB, keys *Keys, now time.Time) *Verifier {
	t.Helper()
	v, err := NewVerifier(configOf(keys, now))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func issueWith(t testing.TB, keys *Keys, c AccessClaims) string {
	t.Helper()
	i, err := NewIssuer(configOf(keys, issuedAt))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := i.Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func secretKeys(t testing.TB) *Keys {
	t.Helper()
	keys, err := NewHS256Keys(accessSecret)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newVerifier(t testing.TB, now time.Time) *Verifier {
	t.Helper()
	return verifierOf(t, secretKeys(t), now)
}

func issue(t testing.TB, c AccessClaims) string {
	t.Helper()
	return issueWith(t, secretKeys(t), c)
}

// forEachAlgorithm runs a test with one key of each algorithm that we sign with.
func forEachAlgorithm(t *testing.T, test func(t *testing.T, keys *Keys)) {
	t.Helper()
	sets := map[string]*Keys{"HS256": secretKeys(t)}
	for _, k := range signingKeys(t) {
		sets[string(k.Algorithm)] = keysOf(t, k)
	}
	for name, keys := range sets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, keys)
		})
	}
}

func someClaims() AccessClaims {
	return AccessClaims{
		ID: parentID, Subject: childID, SessionID: familyID, ClientID: "kindred", Username: "Zoë", Role: "admin", Version: 3,
		AuthTime: issuedAt.Add(-time.Hour), IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(time.Hour),
	}
}

// members decodes one part of a token.
func members(t testing.TB, part string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestIssue_SaysWhatRFC9068Wants(t *testing.T) {
	t.Parallel()
	c := someClaims()
	c.Custom = map[string]any{"plan": "gold", "sub": "somebody else", "exp": 0, "role": "root", "nested": map[string]any{"a": 1.0}}
	raw := issue(t, c)
	parts := strings.Split(raw, ".")
	header, claims := members(t, parts[0]), members(t, parts[1])
	if header["typ"] != "at+jwt" || header["alg"] != "HS256" || header["kid"] == "" || len(header) != 3 {
		t.Errorf("header %v", header)
	}
	for name, want := range map[string]any{
		"iss": issuerURL, "aud": "https://api.example", "sub": c.Subject.String(), "id": c.Subject.String(), "jti": c.ID.String(),
		"sid": c.SessionID.String(), "client_id": "kindred", "username": "Zoë", "role": "admin", "ver": 3.0, "plan": "gold",
		"iat": float64(issuedAt.Unix()), "nbf": float64(issuedAt.Unix()), "exp": float64(issuedAt.Add(time.Hour).Unix()),
		"auth_time": float64(issuedAt.Add(-time.Hour).Unix()),
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	got, err := newVerifier(t, issuedAt).Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got.Custom["plan"] != "gold" || len(got.Custom) != 2 {
		t.Errorf("custom claims %v", got.Custom)
	}
	got.Custom, c.Custom = nil, nil
	if got.Subject != c.Subject || got.ID != c.ID || got.SessionID != c.SessionID || got.Version != 3 || got.Role != "admin" ||
		!got.ExpiresAt.Equal(c.ExpiresAt) || !got.IssuedAt.Equal(c.IssuedAt) || !got.AuthTime.Equal(c.AuthTime) || got.Username != "Zoë" {
		t.Errorf("verified %+v, issued %+v", got, c)
	}
}

func TestKeys_IDFollowsTheSecretAndTellsNothing(t *testing.T) {
	t.Parallel()
	id := func(secret string) string {
		keys, err := NewHS256Keys([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		k, err := keys.signingAt(issuedAt)
		if err != nil {
			t.Fatal(err)
		}
		return k.id
	}
	if again := id("one"); id("one") != again || again == id("two") {
		t.Errorf("ids %s %s %s", id("one"), id("one"), id("two"))
	}
	if _, err := NewHS256Keys(nil); err == nil {
		t.Error("an empty secret is accepted")
	}
}

func TestVerify_Time(t *testing.T) {
	t.Parallel()
	raw := issue(t, someClaims())
	expiry := issuedAt.Add(time.Hour)
	for name, c := range map[string]struct {
		now  time.Time
		want error
	}{
		"a clock 60 s behind":      {issuedAt.Add(-time.Minute), nil},
		"a clock 61 s behind":      {issuedAt.Add(-61 * time.Second), ErrInvalidAccessToken},
		"at its expiry":            {expiry, nil},
		"59 s after its expiry":    {expiry.Add(59 * time.Second), nil},
		"60 s after its expiry":    {expiry.Add(time.Minute), ErrExpiredAccessToken},
		"a year after its expiry":  {expiry.AddDate(1, 0, 0), ErrExpiredAccessToken},
		"a year before its issue":  {issuedAt.AddDate(-1, 0, 0), ErrInvalidAccessToken},
		"in the middle of its day": {issuedAt.Add(30 * time.Minute), nil},
	} {
		v := newVerifier(t, c.now)
		if _, err := v.Verify(raw); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if _, err := v.VerifyExpired(raw); c.now.After(expiry) && err != nil {
			t.Errorf("%s: for logout: %v", name, err)
		}
	}
	if !errors.Is(ErrExpiredAccessToken, ErrInvalidAccessToken) {
		t.Error("an expired token is no invalid one")
	}
}

// Tokens signed with the right key that still must not pass: each differs in one thing from a good one.
func TestVerify_HostileTokens(t *testing.T) {
	t.Parallel()
	forEachAlgorithm(t, func(t *testing.T, keys *Keys) {
		good := strings.Split(issueWith(t, keys, someClaims()), ".")
		header, claims := members(t, good[0]), members(t, good[1])
		v := verifierOf(t, keys, issuedAt)
		plainHeader, plainClaims := with(t, header, "typ", "at+jwt"), with(t, claims, "iss", issuerURL)
		for name, text := range hostileHeaders(t, header) {
			t.Run("header/"+name, func(t *testing.T) { wantInvalid(t, v, sign(t, keys, text, plainClaims)) })
		}
		for name, text := range hostileClaims(t, claims) {
			t.Run("claims/"+name, func(t *testing.T) { wantInvalid(t, v, sign(t, keys, plainHeader, text)) })
		}
		if _, err := v.Verify(sign(t, keys, plainHeader, plainClaims)); err != nil {
			t.Errorf("the token that differs in nothing: %v", err)
		}
	})
}

// with encodes an object with one member changed, or without it.
func with(t testing.TB, object map[string]any, name string, value any) string {
	t.Helper()
	changed := maps.Clone(object)
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	text, err := json.Marshal(changed)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func hostileHeaders(t testing.TB, header map[string]any) map[string]string {
	t.Helper()
	alg, kid := header["alg"].(string), header["kid"].(string)
	rest := `,"kid":"` + kid + `","typ":"at+jwt"}`
	headers := map[string]string{
		"no alg": with(t, header, "alg", nil), "alg in lower case": with(t, header, "alg", strings.ToLower(alg)),
		"no typ": with(t, header, "typ", nil), "typ JWT": with(t, header, "typ", "JWT"), "typ in capitals": with(t, header, "typ", "AT+JWT"),
		"typ with its tree": with(t, header, "typ", "application/at+jwt"), "cty": with(t, header, "cty", "JWT"), "zip": with(t, header, "zip", "DEF"),
		"no kid": with(t, header, "kid", nil), "another kid": with(t, header, "kid", kid+"x"), "kid of a neighbour": with(t, header, "kid", strings.Repeat("A", 43)),
		"crit": with(t, header, "crit", []string{"exp"}), "empty crit": with(t, header, "crit", []string{}),
		"jwk": with(t, header, "jwk", map[string]string{"kty": "oct"}), "jku": with(t, header, "jku", "https://evil.example"),
		"x5u": with(t, header, "x5u", "https://evil.example"), "x5c": with(t, header, "x5c", []string{"x"}), "x5t": with(t, header, "x5t", "x"), "b64": with(t, header, "b64", false),
		"alg twice": `{"alg":"` + alg + `","alg":"` + alg + `"` + rest, "ALG": `{"ALG":"` + alg + `"` + rest, "alg escaped and twice": `{"alg":"` + alg + `","\u0061lg":"none"` + rest,
		"null": "null", "array": "[]", "empty": "", "bad UTF-8": `{"alg":"` + alg + "\xff\"" + rest,
	}
	for _, other := range []string{"none", "HS256", "HS384", "HS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "RS512", "PS256"} {
		if other != alg {
			headers["alg "+other] = with(t, header, "alg", other)
		}
	}
	return headers
}

func hostileClaims(t testing.TB, claims map[string]any) map[string]string {
	t.Helper()
	sub, plain := claims["sub"].(string), with(t, claims, "iss", issuerURL)
	return map[string]string{
		"another iss": with(t, claims, "iss", "https://evil.example"), "iss with a slash": with(t, claims, "iss", issuerURL+"/"), "no iss": with(t, claims, "iss", nil),
		"another aud": with(t, claims, "aud", "https://other.example"), "no aud": with(t, claims, "aud", nil), "aud as a list": with(t, claims, "aud", []string{"https://api.example"}),
		"no exp": with(t, claims, "exp", nil), "exp null": `{"exp":null}`, "exp as text": with(t, claims, "exp", "1"), "exp with a fraction": with(t, claims, "exp", 1e9+0.5),
		"exp negative": with(t, claims, "exp", -1), "exp beyond all": with(t, claims, "exp", 1e18), "nbf in the future": with(t, claims, "nbf", issuedAt.Unix()+61),
		"iat as text": with(t, claims, "iat", "x"), "no iat": with(t, claims, "iat", nil), "no sub": with(t, claims, "sub", nil), "sub no uuid": with(t, claims, "sub", "root"),
		"sub as urn": with(t, claims, "sub", "urn:uuid:"+sub), "sub in braces": with(t, claims, "sub", "{"+sub+"}"), "sub in capitals": with(t, claims, "sub", strings.ToUpper(sub)),
		"sub without hyphens": with(t, claims, "sub", strings.ReplaceAll(sub, "-", "")),
		"no jti":              with(t, claims, "jti", nil), "no sid": with(t, claims, "sid", nil), "id of another": with(t, claims, "id", uuid.NewString()),
		"sub twice": strings.Replace(plain, `{`, `{"sub":"`+uuid.NewString()+`",`, 1), "null": "null", "array": "[]", "empty": "",
		"bad UTF-8": strings.Replace(plain, `"kindred"`, "\"kindred\xff\"", 1), "something behind": plain + " {}", "nested twice": strings.Replace(plain, `{`, `{"x":{"a":1,"a":2},`, 1),
	}
}

// sign makes a token of any text, with the key that signs.
func sign(t testing.TB, keys *Keys, header, claims string) string {
	t.Helper()
	k, err := keys.signingAt(issuedAt)
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := k.method.Sign(signed, k.sign)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func wantInvalid(t testing.TB, v *Verifier, raw string) {
	t.Helper()
	if _, err := v.VerifyExpired(raw); !errors.Is(err, ErrInvalidAccessToken) {
		t.Errorf("error %v, want ErrInvalidAccessToken", err)
	} else if len(raw) > 20 && strings.Contains(err.Error(), raw[:20]) {
		t.Error("the error holds the token")
	}
}

func TestVerify_AnothersKeyOrIssuer(t *testing.T) {
	t.Parallel()
	raw := issue(t, someClaims())
	keys, err := NewHS256Keys([]byte("another secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*AccessConfig){
		"key": func(c *AccessConfig) { c.Keys = keys }, "keys of the database": func(c *AccessConfig) { c.Keys = keysOf(t, signingKeys(t)...) },
		"issuer": func(c *AccessConfig) { c.Issuer = "https://x" }, "audience": func(c *AccessConfig) { c.Audience = "x" },
	} {
		t.Run(name, func(t *testing.T) {
			config := configOf(secretKeys(t), issuedAt)
			change(&config)
			v, err := NewVerifier(config)
			if err != nil {
				t.Fatal(err)
			}
			wantInvalid(t, v, raw)
		})
	}
	for _, incomplete := range []AccessConfig{{}, {Issuer: "x", Audience: "x"}, {Issuer: "x", Keys: keys}, {Audience: "x", Keys: keys}} {
		if _, err := NewVerifier(incomplete); err == nil {
			t.Errorf("config %+v is accepted", incomplete)
		}
		if _, err := NewIssuer(incomplete); err == nil {
			t.Errorf("config %+v is accepted", incomplete)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys := keysOf(f, signingKeys(f)...)
	v := verifierOf(f, keys, issuedAt)
	good := map[string]bool{} // the same in each of the fuzzer's processes
	_, vectors := keyVectors(f)
	for _, known := range vectors {
		good[known.Token] = true
		f.Add(known.Token)
		f.Add(known.Token + "=")
		f.Add(known.Token[:len(known.Token)-1])
	}
	for _, seed := range []string{"", ".", "..", issue(f, someClaims()), sign(f, keys, `{}`, `{}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := v.Verify(raw); err == nil && !good[raw] {
			t.Errorf("%q was never issued and verifies", raw)
		} else if err != nil && !errors.Is(err, ErrInvalidAccessToken) {
			t.Errorf("error %v", err)
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	i, err := NewIssuer(configOf(secretKeys(b), issuedAt))
	if err != nil {
		b.Fatal(err)
	}
	c := someClaims()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Issue(c); err != nil {
			b.Fatal(err)
		}
	}
}

// The second check of an ES256 token, and one whose signature was never checked.
func BenchmarkVerify(b *testing.B) {
	keys := keysOf(b, signingKeys(b)[0])
	raw := issueWith(b, keys, someClaims())
	for name, forget := range map[string]bool{"remembered": false, "new": true} {
		b.Run(name, func(b *testing.B) {
			v := verifierOf(b, keys, issuedAt)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(raw); err != nil {
					b.Fatal(err)
				}
				if forget {
					clear(v.verified.young)
				}
			}
		})
	}
}
