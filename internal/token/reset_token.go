package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	resetPrefix   = "kpr_" // for secret scanners
	redactedReset = resetPrefix + "[redacted]"
	resetBytes    = 32
)

// ResetToken lets its holder choose a new password, once. It prints as a placeholder; only Reveal gives it
// away.
type ResetToken struct{ text string }

// NewResetToken makes one of 256 random bits, in characters that are the same in a URL and a form.
func NewResetToken() ResetToken {
	var secret [resetBytes]byte
	rand.Read(secret[:])
	return ResetToken{resetPrefix + base64.RawURLEncoding.EncodeToString(secret[:])}
}

// ParseResetToken reads a token as it is presented; ok is false for what cannot be one. There is one
// spelling for each token.
func ParseResetToken(presented string) (t ResetToken, ok bool) {
	encoded, found := strings.CutPrefix(presented, resetPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	// The decoder passes over line breaks, so that the length of what it reads tells nothing.
	if !found || err != nil || len(raw) != resetBytes || len(encoded) != base64.RawURLEncoding.EncodedLen(len(raw)) {
		return ResetToken{}, false
	}
	return ResetToken{presented}, true
}

// Reveal returns the token as its holder has it.
func (t ResetToken) Reveal() string { return t.text }

// Hash is what is stored. SHA-256 is enough: 256 random bits cannot be guessed.
func (t ResetToken) Hash() [32]byte { return sha256.Sum256([]byte(t.text)) }

// Format redacts under every verb.
func (ResetToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redactedReset) }

// LogValue redacts in logs.
func (ResetToken) LogValue() slog.Value { return slog.StringValue(redactedReset) }

// MarshalText redacts in JSON and other text formats.
func (ResetToken) MarshalText() ([]byte, error) { return []byte(redactedReset), nil }
