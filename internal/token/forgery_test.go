package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// Whoever knows only what everybody may know: the public key, as a secret of HMAC, in each way to write it
// (RFC 8725 §2.1).
func TestVerify_PublicKeyIsNoSecret(t *testing.T) {
	t.Parallel()
	for _, k := range signingKeys(t) {
		keys := keysOf(t, k)
		v, good := verifierOf(t, keys, issuedAt), strings.Split(issueWith(t, keys, someClaims()), ".")
		der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(keys.JWKS(), &set); err != nil {
			t.Fatal(err)
		}
		secrets := map[string][]byte{
			"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
			"JWK": set.Keys[0], "key set": keys.JWKS(), "kid": []byte(k.ID), "nothing": {},
		}
		for name, secret := range secrets {
			for _, alg := range []string{"HS256", string(k.Algorithm)} {
				header := with(t, members(t, good[0]), "alg", alg)
				signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + good[1]
				signature, err := jwt.SigningMethodHS256.Sign(signed, secret)
				if err != nil {
					t.Fatal(err)
				}
				t.Run(string(k.Algorithm)+"/"+name+" as "+alg, func(t *testing.T) {
					wantInvalid(t, v, signed+"."+base64.RawURLEncoding.EncodeToString(signature))
				})
			}
		}
	}
}

// A key signs under its own id only.
func TestVerify_KeyOfAnotherID(t *testing.T) {
	t.Parallel()
	mine, err := GenerateKey(ES256)
	if err != nil {
		t.Fatal(err)
	}
	other := signingKeys(t)[0]
	good := strings.Split(issueWith(t, keysOf(t, mine), someClaims()), ".")
	header := with(t, members(t, good[0]), "kid", other.ID)
	claims, err := decode(good[1])
	if err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, verifierOf(t, keysOf(t, mine, other), issuedAt), sign(t, keysOf(t, mine), header, string(claims)))
}

// The right key, and an algorithm of the attacker's choice, named in the header and used (RFC 8725 §3.1).
func TestVerify_AnotherAlgorithmOfTheSameKey(t *testing.T) {
	t.Parallel()
	others := map[string][]jwt.SigningMethod{
		"HS256": {jwt.SigningMethodHS384, jwt.SigningMethodHS512},
		"RS256": {jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256},
	}
	forEachAlgorithm(t, func(t *testing.T, keys *Keys) {
		k, err := keys.signingAt(issuedAt)
		if err != nil {
			t.Fatal(err)
		}
		v, good := verifierOf(t, keys, issuedAt), strings.Split(issueWith(t, keys, someClaims()), ".")
		for _, other := range others[k.method.Alg()] {
			header := with(t, members(t, good[0]), "alg", other.Alg())
			signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + good[1]
			signature, err := other.Sign(signed, k.sign)
			if err != nil {
				t.Fatal(err)
			}
			wantInvalid(t, v, signed+"."+base64.RawURLEncoding.EncodeToString(signature))
		}
	})
}

// Only a name that a key of ours could have is worth asking for.
func TestVerify_UnknownKeys(t *testing.T) {
	t.Parallel()
	list := signingKeys(t)
	v := verifierOf(t, keysOf(t, list[0]), issuedAt)
	if _, err := v.Verify(issueWith(t, keysOf(t, list[1]), someClaims())); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a neighbour's key: error %v, want ErrUnknownKey", err)
	}
	if _, err := v.Verify(issue(t, someClaims())); !errors.Is(err, ErrInvalidAccessToken) || errors.Is(err, ErrUnknownKey) {
		t.Errorf("HS256: error %v, want ErrInvalidAccessToken and no more", err)
	}
	secret := newVerifier(t, issuedAt)
	if _, err := secret.Verify(issueWith(t, keysOf(t, list[0]), someClaims())); errors.Is(err, ErrUnknownKey) {
		t.Error("where access tokens are signed with a secret, another key is asked for")
	}
}

// Everything that is nearly a signature. Each differs from a good one in how it is written or made, and
// lax verifiers take some of them.
func TestVerify_SignaturesInAnotherForm(t *testing.T) {
	t.Parallel()
	for _, k := range signingKeys(t) {
		keys := keysOf(t, k)
		v, raw := verifierOf(t, keys, issuedAt), issueWith(t, keys, someClaims())
		signed := raw[:strings.LastIndexByte(raw, '.')]
		good, err := decode(raw[len(signed)+1:])
		if err != nil {
			t.Fatal(err)
		}
		var forms map[string][]byte
		switch private := k.Private.(type) {
		case *ecdsa.PrivateKey:
			forms = otherES256(t, private, signed, good)
		case ed25519.PrivateKey:
			forms = otherEdDSA(t, private, signed, good)
		case *rsa.PrivateKey:
			forms = otherRS256(t, private, signed, good)
		}
		forms["with a zero before it"] = append([]byte{0}, good...)
		forms["with a zero behind it"] = append(slices.Clone(good), 0)
		forms["without its last byte"] = good[:len(good)-1]
		forms["zeros"] = make([]byte, len(good))
		forms["ones"] = slices.Repeat([]byte{0xff}, len(good))
		for name, form := range forms {
			t.Run(string(k.Algorithm)+"/"+name, func(t *testing.T) {
				wantInvalid(t, v, signed+"."+base64.RawURLEncoding.EncodeToString(form))
			})
		}
		if _, err := v.Verify(raw); err != nil {
			t.Errorf("%s: the good one: %v", k.Algorithm, err)
		}
	}
}

func otherES256(t testing.TB, key *ecdsa.PrivateKey, signed string, good []byte) map[string][]byte {
	t.Helper()
	n := elliptic.P256().Params().N
	r, s := new(big.Int).SetBytes(good[:32]), new(big.Int).SetBytes(good[32:])
	raw := func(r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	high := raw(r, new(big.Int).Sub(n, s))
	if err := jwt.SigningMethodES256.Verify(signed, high, &key.PublicKey); err != nil {
		t.Errorf("the second spelling is none: %v", err) // the library takes it, which is why we look
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	sha512, err := ecdsa.SignASN1(rand.Reader, key, []byte(signed)[:32])
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"n minus s": high, "DER": der, "swapped": raw(s, r), "r of zero": raw(new(big.Int), s), "s of zero": raw(r, new(big.Int)), "s of n": raw(r, n),
		"r of n": raw(n, s), "each half longer": append(append([]byte{0}, good[:32]...), append([]byte{0}, good[32:]...)...), "of another digest": sha512,
	}
}

func otherEdDSA(t testing.TB, key ed25519.PrivateKey, signed string, good []byte) map[string][]byte {
	t.Helper()
	// S + L is the same scalar (RFC 8032 §5.1.7 has it refused).
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	littleEndian := slices.Clone(good[32:])
	slices.Reverse(littleEndian)
	added := new(big.Int).Add(new(big.Int).SetBytes(littleEndian), order).FillBytes(make([]byte, 32))
	slices.Reverse(added)
	prehashed, err := key.Sign(nil, hash512(signed), crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"S + L": append(slices.Clone(good[:32]), added...), "Ed25519ph": prehashed}
}

func hash512(text string) []byte {
	h := crypto.SHA512.New()
	h.Write([]byte(text))
	return h.Sum(nil)
}

func otherRS256(t testing.TB, key *rsa.PrivateKey, signed string, good []byte) map[string][]byte {
	t.Helper()
	digest := sha256.Sum256([]byte(signed))
	pss, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := rsa.SignPKCS1v15(rand.Reader, key, 0, digest[:]) // without the digest's name
	if err != nil {
		t.Fatal(err)
	}
	added := new(big.Int).Add(new(big.Int).SetBytes(good), key.N).Bytes() // the same number modulo n
	return map[string][]byte{"PSS": pss, "without DigestInfo": bare, "plus n": added}
}

func TestVerify_OneSpellingOnly(t *testing.T) {
	t.Parallel()
	forEachAlgorithm(t, func(t *testing.T, keys *Keys) {
		v := verifierOf(t, keys, issuedAt)
		raw := issueWith(t, keys, someClaims())
		if _, err := v.Verify(raw); err != nil { // what is remembered opens no door either
			t.Fatal(err)
		}
		parts := strings.Split(raw, ".")
		for name, other := range map[string]string{
			"empty": "", "padded": raw + "=", "line break behind": raw + "\n", "line break within the signature": raw[:len(raw)-5] + "\n" + raw[len(raw)-5:],
			"carriage return in the header": raw[:5] + "\r" + raw[5:], "blank before": " " + raw, "a fourth part": raw + ".", "two parts": parts[0] + "." + parts[1],
			"no signature": parts[0] + "." + parts[1] + ".", "unused bits of the signature": raw[:len(raw)-1] + nextCharacter(raw[len(raw)-1]),
			"unused bits of the claims": parts[0] + "." + parts[1][:len(parts[1])-1] + nextCharacter(parts[1][len(parts[1])-1]) + "." + parts[2],
			"another signature":         parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), "too long": raw + strings.Repeat("A", 17<<10),
			"standard base64": parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "==", "JSON serialisation": `{"payload":"` + parts[1] + `"}`,
		} {
			t.Run(name, func(t *testing.T) { wantInvalid(t, v, other) })
		}
	})
}

// nextCharacter differs in the last bit: an unused one, unless the length is a multiple of three bytes.
func nextCharacter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

// Of an ES256 signature we always write the spelling that we take.
func TestIssue_ES256IsAlwaysInItsOneSpelling(t *testing.T) {
	t.Parallel()
	keys := keysOf(t, signingKeys(t)[0])
	v := verifierOf(t, keys, issuedAt)
	for range 100 { // each would be in the other with a chance of one half
		if _, err := v.Verify(issueWith(t, keys, someClaims())); err != nil {
			t.Fatal(err)
		}
	}
}

// A name of ours stays ours in whatever case: readers that ignore case would take the user's.
func TestIssue_CustomClaimsNeverOverOurs(t *testing.T) {
	t.Parallel()
	c := someClaims()
	c.Custom = map[string]any{
		"sub": "x", "SUB": "x", "Sub": "x", "ſub": "x", "exp": 1, "Exp": 1, "aud": "x", "iss": "x", "jti": "x", "sid": "x", "iat": 1, "nbf": 1, "ver": 9,
		"client_id": "x", "auth_time": 1, "id": "x", "Id": "x", "username": "root", "role": "root", "Role": "root",
		"typ": "JWT", "alg": "none", "kid": "x", "crit": []any{"x"}, "plan": "gold",
	}
	forEachAlgorithm(t, func(t *testing.T, keys *Keys) {
		raw := issueWith(t, keys, c)
		claims := members(t, strings.Split(raw, ".")[1])
		if len(claims) != 14+5 {
			t.Errorf("claims %v", claims)
		}
		got, err := verifierOf(t, keys, issuedAt).Verify(raw)
		if err != nil || got.Subject != c.Subject || got.Role != "admin" || got.Username != "Zoë" || !got.ExpiresAt.Equal(c.ExpiresAt) {
			t.Errorf("verified %+v, error %v", got, err)
		}
		// What would be header parameters has no meaning among the claims, and stays the user's.
		if len(got.Custom) != 5 || got.Custom["typ"] != "JWT" || got.Custom["plan"] != "gold" {
			t.Errorf("custom claims %v", got.Custom)
		}
	})
}
