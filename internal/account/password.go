package account

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Password is a password that may be hashed. It redacts itself wherever it is printed.
type Password struct{ text string }

// ParsePassword accepts 8 to 1,024 bytes of UTF-8. The upper bound keeps one request from buying
// more hashing than another; nothing is ever cut off. The error is an *InvalidError.
func ParsePassword(s string) (Password, error) {
	const minBytes, maxBytes = 8, 1024
	refuse := func(reason string) (Password, error) {
		return Password{}, &InvalidError{Field: "password", Reason: reason}
	}
	switch {
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return refuse("It must be valid UTF-8 without the NUL character.")
	case len(s) < minBytes:
		return refuse(fmt.Sprintf("It must have at least %d bytes.", minBytes))
	case len(s) > maxBytes:
		return refuse(fmt.Sprintf("It must have %d bytes at most.", maxBytes))
	}
	return Password{text: norm.NFC.String(s)}, nil
}

// Reveal returns the password in NFC, the form that is hashed: two keyboards may compose the same
// letter differently (NIST SP 800-63B-4 §3.1.1.2).
func (p Password) Reveal() string { return p.text }

const redacted = "[redacted]"

// Format redacts under every verb, %x and %#v too.
func (Password) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Password) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Password) MarshalText() ([]byte, error) { return []byte(redacted), nil }
