package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that prints as a placeholder; only Reveal gives it away.
type Secret struct{ text string }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.text }

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.text != "" }

func (s Secret) empty() bool { return s.text == "" }

const redacted = "[redacted]"

// Format redacts under every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts in logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts in JSON and other text formats.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
