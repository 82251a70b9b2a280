package account

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Password is a password that may be tried, and hashed. It redacts itself wherever it is printed.
type Password struct{ text, typed string }

// ParsePassword accepts 1 to 1,024 bytes of UTF-8: what somebody may have as a password. What somebody
// may choose as one is up to a PasswordPolicy. The upper bound keeps one request from buying more hashing
// than another; nothing is ever cut off. The error is an *InvalidError.
func ParsePassword(s string) (Password, error) {
	const maxBytes = 1024
	refuse := func(reason string) (Password, error) {
		return Password{}, &InvalidError{Field: "password", Reason: reason}
	}
	switch {
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return refuse("It must be valid UTF-8 without the NUL character.")
	case s == "":
		return refuse("It must not be empty.")
	case len(s) > maxBytes:
		return refuse(fmt.Sprintf("It must have %d bytes at most.", maxBytes))
	}
	return Password{text: norm.NFC.String(s), typed: s}, nil
}

// Reveal returns the password in NFC, the form that is hashed: two keyboards may compose the same
// letter differently (NIST SP 800-63B-4 §3.1.1.2).
func (p Password) Reveal() string { return p.text }

// Typed returns the password as it came. Other systems may have hashed that.
func (p Password) Typed() string { return p.typed }

const redacted = "[redacted]"

// Format redacts under every verb, %x and %#v too.
func (Password) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Password) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Password) MarshalText() ([]byte, error) { return []byte(redacted), nil }
