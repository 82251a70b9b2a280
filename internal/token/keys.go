package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// Keys is a set of keys by their id, one of which signs. Each id has one algorithm: what a token's
// header claims is compared with it and never followed (RFC 8725 §3.1).
type Keys struct {
	signing key
	byID    map[string]key
}

type key struct {
	id     string
	method jwt.SigningMethod
	sign   any // what the method signs with
	verify any // what the method verifies with
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
	k := key{
		id:     "hs-" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:idBytes]),
		method: jwt.SigningMethodHS256, sign: secret, verify: secret,
	}
	return &Keys{signing: k, byID: map[string]key{k.id: k}}, nil
}
