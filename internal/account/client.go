package account

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ClientType tells whether a client can keep a secret (RFC 6749 §2.1).
type ClientType string

const (
	PublicClient       ClientType = "public"
	ConfidentialClient ClientType = "confidential"
)

// Client is a row of clients: a program that people log in through, or a resource server that asks about
// tokens (RFC 6749 §2). Its type never changes.
type Client struct {
	ID            string
	Name          string
	Type          ClientType
	SecretHash    [32]byte // of a confidential client
	MayIntrospect bool     // RFC 7662; confidential clients only
	CreatedAt     time.Time
	DisabledAt    *time.Time
}

// Enabled tells whether the client may do anything at all.
func (c Client) Enabled() bool { return c.DisabledAt == nil }

// ParseClientID accepts 1 to 64 of the characters that are the same in a header, a form and a URL
// (RFC 3986 §2.3). The error is an *InvalidError.
func ParseClientID(s string) (string, error) {
	const maxBytes = 64
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	if s == "" || len(s) > maxBytes || strings.Trim(s, unreserved) != "" {
		return "", &InvalidError{Field: "client id", Reason: fmt.Sprintf("It must have 1 to %d of A-Z, a-z, 0-9, hyphen, dot, underscore and tilde.", maxBytes)}
	}
	return s, nil
}

// ParseClientName accepts 1 to 100 code points of visible text and returns it in NFC. The error is an
// *InvalidError.
func ParseClientName(s string) (string, error) {
	const maxCodePoints = 100
	name := norm.NFC.String(s)
	if count := utf8.RuneCountInString(name); !utf8.ValidString(s) || count == 0 || count > maxCodePoints || !visible(name) {
		return "", &InvalidError{Field: "client name", Reason: fmt.Sprintf("It must have 1 to %d visible characters.", maxCodePoints)}
	}
	return name, nil
}

// ParseClientType accepts the two types by their names. The error is an *InvalidError.
func ParseClientType(s string) (ClientType, error) {
	if t := ClientType(s); t == PublicClient || t == ConfidentialClient {
		return t, nil
	}
	return "", &InvalidError{Field: "client type", Reason: "It must be public or confidential."}
}
