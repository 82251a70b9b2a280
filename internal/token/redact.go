package token

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = refreshPrefix + "[redacted]"

// Format redacts under every verb.
func (RefreshToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts in logs.
func (RefreshToken) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts in JSON and other text formats.
func (RefreshToken) MarshalText() ([]byte, error) { return []byte(redacted), nil }
