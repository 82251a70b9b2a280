package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

const clientSecretPrefix = "kcs_" // for secret scanners

// ClientSecret is what a confidential client proves itself with, in clear. It prints as a placeholder;
// only Reveal gives it away.
type ClientSecret struct{ text string }

// NewClientSecret makes one of 256 random bits, in characters that are the same in a header, a form and a
// URL: clients that forget to encode it (RFC 6749 §2.3.1) get it right all the same.
func NewClientSecret() ClientSecret {
	var secret [32]byte
	rand.Read(secret[:])
	return ClientSecret{clientSecretPrefix + base64.RawURLEncoding.EncodeToString(secret[:])}
}

// Reveal returns the secret as its client holds it, empty for none.
func (s ClientSecret) Reveal() string { return s.text }

// Hash is what is stored. SHA-256 is enough: nobody chose the secret, and 256 random bits cannot be
// guessed, so that a slow hash adds cost to each refresh and no safety.
func (s ClientSecret) Hash() [32]byte { return sha256.Sum256([]byte(s.text)) }

// IsClientSecret tells whether a presented text is the secret of that hash, and takes as long either way.
func IsClientSecret(presented string, hash [32]byte) bool {
	digest := sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(digest[:], hash[:]) == 1
}
