package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// Algorithm names how an asymmetric key signs (RFC 7518 §3.1, RFC 8037 §3.1).
type Algorithm string

const (
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
	RS256 Algorithm = "RS256"
)

// ErrNoSigningKey: no key to sign with was loaded. Nothing is wrong with the request.
var ErrNoSigningKey = errors.New("no key signs access tokens")

// SigningKey is an asymmetric key and when it signs.
type SigningKey struct {
	ID        string // kid: the thumbprint of the public key (RFC 7638)
	Algorithm Algorithm
	Private   crypto.Signer
	SignFrom  time.Time // by the database's clock
	Retiring  bool      // verifies, and signs no more
}

// GenerateKey makes a key of an algorithm.
func GenerateKey(algorithm Algorithm) (SigningKey, error) {
	const rsaBits = 3072 // NIST SP 800-57 part 1: as strong as P-256
	var private crypto.Signer
	var err error
	switch algorithm {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return SigningKey{}, fmt.Errorf("no algorithm %q", algorithm)
	}
	if err != nil {
		return SigningKey{}, fmt.Errorf("generate %s key: %w", algorithm, err)
	}
	return newSigningKey(algorithm, private)
}

// newSigningKey computes the id, and sees to it that the key is of its algorithm.
func newSigningKey(algorithm Algorithm, private crypto.Signer) (SigningKey, error) {
	ok := false
	switch private := private.(type) {
	case *ecdsa.PrivateKey:
		ok = algorithm == ES256 && private.Curve == elliptic.P256()
	case ed25519.PrivateKey:
		ok = algorithm == EdDSA
	case *rsa.PrivateKey:
		ok = algorithm == RS256
	}
	if !ok {
		return SigningKey{}, fmt.Errorf("a key of another kind than %s", algorithm)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return SigningKey{}, fmt.Errorf("compute thumbprint: %w", err)
	}
	return SigningKey{ID: base64.RawURLEncoding.EncodeToString(thumbprint), Algorithm: algorithm, Private: private}, nil
}

// Keys is the keys by their id that an issuer and its verifiers share; they can be replaced at any time.
// Each id has one algorithm: what a token's header claims is compared with it and never followed (RFC 8725
// §3.1).
type Keys struct {
	set atomic.Pointer[keySet]
}

type keySet struct {
	signing []key // the one that signs now, then those that are to
	byID    map[string]key
	jwks    []byte
	public  bool // keys of the database, which others may know before we do
}

type key struct {
	id       string
	method   jwt.SigningMethod
	sign     any // what the method signs with
	verify   any // what the method verifies with
	signFrom time.Time
	header   string // encoded: the same for all tokens of the key
}

func newKey(id string, method jwt.SigningMethod, sign, verify any, signFrom time.Time) (key, error) {
	text, err := json.Marshal(header{Algorithm: method.Alg(), KeyID: id, Type: accessType})
	if err != nil {
		return key{}, fmt.Errorf("encode header: %w", err)
	}
	return key{id, method, sign, verify, signFrom, base64.RawURLEncoding.EncodeToString(text)}, nil
}

// NewHS256Keys makes a set of the one key that a secret is. Its id is derived from the secret, so that
// replicas agree on it and a changed secret is a changed id; it gives nothing of the secret away.
func NewHS256Keys(secret []byte) (*Keys, error) {
	if len(secret) == 0 {
		return nil, errors.New("the access token secret is empty")
	}
	const idBytes = 9
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("kindred access token key id v1"))
	k, err := newKey("hs-"+base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:idBytes]), jwt.SigningMethodHS256, secret, secret, time.Time{})
	if err != nil {
		return nil, err
	}
	keys := &Keys{}
	keys.set.Store(&keySet{signing: []key{k}, byID: map[string]key{k.id: k}, jwks: []byte(`{"keys":[]}`)})
	return keys, nil
}

// NewKeys makes a set without any key: what Replace puts there signs and verifies.
func NewKeys() *Keys {
	keys := &Keys{}
	keys.set.Store(&keySet{public: true})
	return keys
}

// Replace puts other keys, in the order in which they sign, in place of all that were there. What was
// verified with a key that is gone counts no more.
func (k *Keys) Replace(list []SigningKey) error {
	set := &keySet{byID: map[string]key{}, public: true}
	document := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range list {
		public := s.Private.Public()
		made, err := newKey(s.ID, methodOf(s.Algorithm), s.Private, public, s.SignFrom)
		if err != nil {
			return err
		}
		set.byID[s.ID] = made
		if !s.Retiring {
			set.signing = append(set.signing, made)
		}
		document.Keys = append(document.Keys, jose.JSONWebKey{Key: public, KeyID: s.ID, Algorithm: string(s.Algorithm), Use: "sig"})
	}
	text, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode key set: %w", err)
	}
	set.jwks = text
	k.set.Store(set)
	return nil
}

// JWKS returns the public keys as a JSON Web Key Set (RFC 7517 §5), nil while none were loaded. The one
// key of HS256 is a secret and never in it.
func (k *Keys) JWKS() []byte { return k.set.Load().jwks }

// Ready tells whether any key is there to sign with.
func (k *Keys) Ready() bool { return len(k.set.Load().signing) > 0 }

// SigningSince tells when, by the database's clock, the key began to sign that signs at an instant, and when the
// next one is to; each is zero where there is none. The secret of HS256 has no beginning.
func (k *Keys) SigningSince(at time.Time) (since, next time.Time) {
	for _, candidate := range k.set.Load().signing {
		if candidate.signFrom.After(at) {
			return since, candidate.signFrom
		}
		since = candidate.signFrom
	}
	return since, time.Time{}
}

// signingAt is the key that signs at an instant of the database's clock: all replicas answer alike. For
// what was granted before the first of them began it is that one: its predecessor signs no more.
func (k *Keys) signingAt(at time.Time) (key, error) {
	signing := k.set.Load().signing
	if len(signing) == 0 {
		return key{}, ErrNoSigningKey
	}
	for _, candidate := range slices.Backward(signing) {
		if !candidate.signFrom.After(at) {
			return candidate, nil
		}
	}
	return signing[0], nil
}
