package token

import (
	"fmt"
	"io"
	"log/slog"
)

const (
	redacted             = refreshPrefix + "[redacted]"
	redactedClientSecret = clientSecretPrefix + "[redacted]"
)

// Format redacts under every verb.
func (RefreshToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts in logs.
func (RefreshToken) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts in JSON and other text formats.
func (RefreshToken) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format redacts under every verb.
func (ClientSecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redactedClientSecret) }

// LogValue redacts in logs.
func (ClientSecret) LogValue() slog.Value { return slog.StringValue(redactedClientSecret) }

// MarshalText redacts in JSON and other text formats.
func (ClientSecret) MarshalText() ([]byte, error) { return []byte(redactedClientSecret), nil }
