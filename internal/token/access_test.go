package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const issuerURL = "https://id.example"

var (
	issuedAt     = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	accessSecret = []byte("access secret of the tests, 32 bytes")
)

func accessConfig(t testing.TB, now time.Time) AccessConfig {
	t.Helper()
	keys, err := NewHS256Keys(accessSecret)
	if err != nil {
		t.Fatal(err)
	}
	return AccessConfig{Issuer: issuerURL, Audience: "https://api.example", Keys: keys, Now: func() time.Time { return now }}
}

func newVerifier(t testing.TB, now time.Time) *Verifier {
	t.Helper()
	v, err := NewVerifier(accessConfig(t, now))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func someClaims() AccessClaims {
	return AccessClaims{
		ID: parentID, Subject: childID, SessionID: familyID, ClientID: "kindred", Username: "Zoë", Role: "admin", Version: 3,
		AuthTime: issuedAt.Add(-time.Hour), IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(time.Hour),
	}
}

func issue(t testing.TB, c AccessClaims) string {
	t.Helper()
	i, err := NewIssuer(accessConfig(t, issuedAt))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := i.Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
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
	if id("one") != id("one") || id("one") == id("two") {
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
	good := strings.Split(issue(t, someClaims()), ".")
	header, claims := members(t, good[0]), members(t, good[1])
	kid, sub := header["kid"].(string), claims["sub"].(string)
	with := func(object map[string]any, name string, value any) string {
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
	plainHeader, plainClaims := with(header, "typ", "at+jwt"), with(claims, "iss", issuerURL)
	headers := map[string]string{
		"alg none": with(header, "alg", "none"), "alg HS512": with(header, "alg", "HS512"), "alg RS256": with(header, "alg", "RS256"),
		"alg in lower case": with(header, "alg", "hs256"), "no alg": with(header, "alg", nil),
		"no typ": with(header, "typ", nil), "typ JWT": with(header, "typ", "JWT"), "typ in capitals": with(header, "typ", "AT+JWT"),
		"typ with its tree": with(header, "typ", "application/at+jwt"),
		"no kid":            with(header, "kid", nil), "another kid": with(header, "kid", kid+"x"), "crit": with(header, "crit", []string{"exp"}),
		"empty crit": with(header, "crit", []string{}), "jwk": with(header, "jwk", map[string]string{"kty": "oct"}), "jku": with(header, "jku", "https://evil.example"),
		"x5u": with(header, "x5u", "https://evil.example"), "x5c": with(header, "x5c", []string{"x"}), "b64": with(header, "b64", false),
		"alg twice": `{"alg":"HS256","alg":"HS256","kid":"` + kid + `","typ":"at+jwt"}`,
		"ALG":       `{"ALG":"HS256","kid":"` + kid + `","typ":"at+jwt"}`, "null": "null", "array": "[]", "empty": "", "bad UTF-8": "{\"alg\":\"HS256\xff\"}",
	}
	payloads := map[string]string{
		"another iss": with(claims, "iss", "https://evil.example"), "iss with a slash": with(claims, "iss", issuerURL+"/"), "no iss": with(claims, "iss", nil),
		"another aud": with(claims, "aud", "https://other.example"), "no aud": with(claims, "aud", nil), "aud as a list": with(claims, "aud", []string{"https://api.example"}),
		"no exp": with(claims, "exp", nil), "exp null": `{"exp":null}`, "exp as text": with(claims, "exp", "1"), "exp with a fraction": with(claims, "exp", 1e9+0.5),
		"exp negative": with(claims, "exp", -1), "exp beyond all": with(claims, "exp", 1e18), "nbf in the future": with(claims, "nbf", issuedAt.Unix()+61),
		"iat as text": with(claims, "iat", "x"), "no sub": with(claims, "sub", nil), "sub no uuid": with(claims, "sub", "root"),
		"sub as urn": with(claims, "sub", "urn:uuid:"+sub), "sub in braces": with(claims, "sub", "{"+sub+"}"), "sub in capitals": with(claims, "sub", strings.ToUpper(sub)),
		"sub without hyphens": with(claims, "sub", strings.ReplaceAll(sub, "-", "")),
		"no jti":              with(claims, "jti", nil), "no sid": with(claims, "sid", nil), "id of another": with(claims, "id", uuid.NewString()),
		"sub twice": strings.Replace(plainClaims, `{`, `{"sub":"`+uuid.NewString()+`",`, 1), "null": "null", "array": "[]", "empty": "",
		"bad UTF-8": strings.Replace(plainClaims, `"kindred"`, "\"kindred\xff\"", 1), "something behind": plainClaims + " {}", "nested twice": strings.Replace(plainClaims, `{`, `{"x":{"a":1,"a":2},`, 1),
	}
	v := newVerifier(t, issuedAt)
	for name, text := range headers {
		t.Run("header/"+name, func(t *testing.T) { wantInvalid(t, v, sign(t, text, plainClaims)) })
	}
	for name, text := range payloads {
		t.Run("claims/"+name, func(t *testing.T) { wantInvalid(t, v, sign(t, plainHeader, text)) })
	}
	if _, err := v.Verify(sign(t, plainHeader, plainClaims)); err != nil {
		t.Errorf("the token that differs in nothing: %v", err)
	}
}

// sign makes a token of any text, with the right key.
func sign(t testing.TB, header, claims string) string {
	t.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := jwt.SigningMethodHS256.Sign(signed, accessSecret)
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

func TestVerify_OneSpellingOnly(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, issuedAt)
	raw := issue(t, someClaims())
	parts := strings.Split(raw, ".")
	for name, other := range map[string]string{
		"empty": "", "padded": raw + "=", "line break behind": raw + "\n", "line break within the signature": raw[:len(raw)-5] + "\n" + raw[len(raw)-5:],
		"carriage return in the header": raw[:5] + "\r" + raw[5:], "blank before": " " + raw, "a fourth part": raw + ".", "two parts": parts[0] + "." + parts[1],
		"no signature": parts[0] + "." + parts[1] + ".", "unused bits of the signature": raw[:len(raw)-1] + nextCharacter(raw[len(raw)-1]),
		"another signature": parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), "too long": raw + strings.Repeat("A", 17<<10),
		"JSON serialisation": `{"payload":"` + parts[1] + `"}`,
	} {
		t.Run(name, func(t *testing.T) { wantInvalid(t, v, other) })
	}
}

// nextCharacter differs in the unused bits only, where a 32-byte signature leaves two.
func nextCharacter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func TestVerify_AnothersKeyOrIssuer(t *testing.T) {
	t.Parallel()
	raw := issue(t, someClaims())
	config := accessConfig(t, issuedAt)
	keys, err := NewHS256Keys([]byte("another secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*AccessConfig){
		"key": func(c *AccessConfig) { c.Keys = keys }, "issuer": func(c *AccessConfig) { c.Issuer = "https://x" }, "audience": func(c *AccessConfig) { c.Audience = "x" },
	} {
		other := config
		change(&other)
		v, err := NewVerifier(other)
		if err != nil {
			t.Fatal(err)
		}
		wantInvalid(t, v, raw)
		_ = name
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
	v := newVerifier(f, issuedAt)
	good := issue(f, someClaims())
	for _, seed := range []string{"", ".", "..", good, good + "=", good[:len(good)-1], sign(f, `{}`, `{}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := v.Verify(raw); err == nil && raw != good {
			t.Errorf("%q was never issued and verifies", raw)
		} else if err != nil && !errors.Is(err, ErrInvalidAccessToken) {
			t.Errorf("error %v", err)
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	i, err := NewIssuer(accessConfig(b, issuedAt))
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

func BenchmarkVerify(b *testing.B) {
	v := newVerifier(b, issuedAt)
	raw := issue(b, someClaims())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(raw); err != nil {
			b.Fatal(err)
		}
	}
}
