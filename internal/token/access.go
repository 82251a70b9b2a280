package token

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

var (
	// ErrInvalidAccessToken: not a token of ours, or not in the one spelling that we issue.
	ErrInvalidAccessToken = errors.New("invalid access token")
	// ErrExpiredAccessToken is an ErrInvalidAccessToken of a token that was good until it expired.
	ErrExpiredAccessToken = fmt.Errorf("%w: expired", ErrInvalidAccessToken)
	// ErrUnknownKey is an ErrInvalidAccessToken that names a key which was not loaded: whoever can load
	// the keys anew does so and asks again.
	ErrUnknownKey = fmt.Errorf("%w: unknown key", ErrInvalidAccessToken)
)

// accessType is the media type in the header (RFC 9068 §2.1): no other JWT of ours or of anybody
// passes for an access token (RFC 8725 §3.11).
const accessType = "at+jwt"

// leeway is what the clocks of database, replicas and resource servers may differ.
const leeway = 60 * time.Second

// AccessClaims is what an access token says (RFC 9068 §2.2).
type AccessClaims struct {
	ID        uuid.UUID // jti
	Subject   uuid.UUID // sub, and id for the tutorial's clients
	SessionID uuid.UUID // sid: the family
	ClientID  string    // client_id
	Username  string
	Role      string
	Version   int64 // ver: users.version when it was issued
	AuthTime  time.Time
	IssuedAt  time.Time      // by the database's clock; the token has it in whole seconds
	ExpiresAt time.Time      // likewise
	Custom    map[string]any // the user's own claims; never over ours
	KeyID     string         // kid; set by a Verifier
	Audience  string         // aud; set by a Verifier
}

// AccessConfig is shared by an Issuer and its Verifiers.
type AccessConfig struct {
	Issuer   string
	Audience string
	Keys     *Keys
	Now      func() time.Time // nil is time.Now
}

func (c AccessConfig) check() error {
	if c.Issuer == "" || c.Audience == "" || c.Keys == nil {
		return errors.New("access tokens need an issuer, an audience and keys")
	}
	return nil
}

// payload is the claims as they are written. Pointers tell a claim that is missing from an empty one.
type payload struct {
	Issuer    *string `json:"iss"`
	Audience  *string `json:"aud"`
	Subject   *string `json:"sub"`
	ExpiresAt *int64  `json:"exp"`
	IssuedAt  *int64  `json:"iat"`
	NotBefore *int64  `json:"nbf"`
	ID        *string `json:"jti"`
	SessionID *string `json:"sid"`
	ClientID  string  `json:"client_id"`
	AuthTime  int64   `json:"auth_time"`
	Version   int64   `json:"ver"`
	UserID    string  `json:"id"`
	Username  string  `json:"username"`
	Role      string  `json:"role"`

	Custom map[string]any `json:",embed"`
}

type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// Issuer signs access tokens. It is safe for concurrent use.
type Issuer struct{ config AccessConfig }

// NewIssuer makes an Issuer. The error names what the config lacks.
func NewIssuer(config AccessConfig) (*Issuer, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	return &Issuer{config: config}, nil
}

// Ready tells whether there is a key to sign with.
func (i *Issuer) Ready() bool { return i.config.Keys.Ready() }

// Issue signs one token, with the key whose turn it was when the database granted it. ErrNoSigningKey if
// there is none.
func (i *Issuer) Issue(c AccessClaims) (string, error) {
	k, err := i.config.Keys.signingAt(c.IssuedAt)
	if err != nil {
		return "", err
	}
	issued, expires := c.IssuedAt.Unix(), c.ExpiresAt.Unix()
	subject, id, session := c.Subject.String(), c.ID.String(), c.SessionID.String()
	text, err := json.Marshal(payload{
		Issuer: &i.config.Issuer, Audience: &i.config.Audience, Subject: &subject, ID: &id, SessionID: &session,
		ExpiresAt: &expires, IssuedAt: &issued, NotBefore: &issued,
		ClientID: c.ClientID, AuthTime: c.AuthTime.Unix(), Version: c.Version,
		UserID: subject, Username: c.Username, Role: c.Role, Custom: unregistered(c.Custom),
	}, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	signed := k.header + "." + base64.RawURLEncoding.EncodeToString(text)
	signature, err := k.method.Sign(signed, k.sign)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// unregistered leaves out custom claims that bear a name of ours.
func unregistered(custom map[string]any) map[string]any {
	kept := maps.Clone(custom)
	maps.DeleteFunc(kept, func(name string, _ any) bool { return IsOurs(name) })
	return kept
}

// IsOurs tells whether a claim's name is one that Issue gives, in whatever case: there are readers, Go's standard
// library among them, that take "Sub" for "sub".
func IsOurs(claim string) bool {
	ours := []string{"iss", "aud", "sub", "exp", "iat", "nbf", "jti", "sid", "client_id", "auth_time", "ver", "id", "username", "role"}
	return slices.ContainsFunc(ours, func(name string) bool { return strings.EqualFold(name, claim) })
}

// Verifier checks access tokens. It is safe for concurrent use.
type Verifier struct {
	config   AccessConfig
	verified memory
}

// NewVerifier makes a Verifier. The error names what the config lacks.
func NewVerifier(config AccessConfig) (*Verifier, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Verifier{config: config}, nil
}

// Verify accepts what an Issuer of the same config made, in its one spelling, while it lasts. The error is
// ErrInvalidAccessToken, or of its kind ErrExpiredAccessToken for what was good and ErrUnknownKey; it never
// holds the token.
func (v *Verifier) Verify(raw string) (AccessClaims, error) {
	claims, err := v.VerifyExpired(raw)
	if err == nil && !v.config.Now().Add(-leeway).Before(claims.ExpiresAt) {
		err = ErrExpiredAccessToken
	}
	if err != nil {
		return AccessClaims{}, err
	}
	return claims, nil
}

// VerifyExpired checks everything but the expiry: whoever logs out may come late. What passed is
// remembered: to look at it again costs a hash, and the question whether its key still stands.
func (v *Verifier) VerifyExpired(raw string) (AccessClaims, error) {
	// JSON grows by a third; custom claims are the user's, but a header of 16 KiB helps nobody.
	const maxBytes = 16 << 10
	if len(raw) > maxBytes {
		return AccessClaims{}, ErrInvalidAccessToken
	}
	var text [1 << 10]byte // tokens of usual size are hashed without being copied to the heap
	digest := sha256.Sum256(append(text[:0], raw...))
	if r, there := v.verified.get(digest); there && v.standsStill(r) {
		if r.claims.Custom != nil { // each caller's own to change
			r.claims.Custom = custom(raw)
		}
		return r.claims, nil
	}
	r, err := v.read(raw)
	if err != nil {
		return AccessClaims{}, err
	}
	v.verified.add(digest, r)
	return r.claims, nil
}

// custom reads the user's own claims of a token that was read whole before.
func custom(raw string) map[string]any {
	var p payload
	text, err := decode(strings.Split(raw, ".")[1])
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		panic("token: what could be read once cannot be read again")
	}
	return p.Custom
}

// standsStill asks of a token that was good before what may have changed since.
func (v *Verifier) standsStill(r remembered) bool {
	_, known := v.config.Keys.set.Load().byID[r.claims.KeyID]
	return known && v.hasBegun(r.notBefore)
}

func (v *Verifier) hasBegun(notBefore time.Time) bool {
	return !notBefore.After(v.config.Now().Add(leeway))
}

func (v *Verifier) read(raw string) (remembered, error) {
	if strings.ContainsAny(raw, "\r\n") {
		return remembered{}, ErrInvalidAccessToken
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return remembered{}, ErrInvalidAccessToken
	}
	k, err := v.keyOf(parts[0])
	if err != nil {
		return remembered{}, err
	}
	signature, err := decode(parts[2])
	if err != nil || k.method.Verify(raw[:len(raw)-len(parts[2])-1], signature, k.verify) != nil {
		return remembered{}, ErrInvalidAccessToken
	}
	claims, notBefore, err := v.claims(parts[1])
	claims.KeyID = k.id
	return remembered{claims, notBefore, len(raw)}, err
}

// keyOf reads the header: the key that its kid names, if all else is as we write it. Members that we
// do not write are refused, crit, jku, jwk, x5u and x5c among them (RFC 7515 §4.1.11, RFC 8725 §3.10).
func (v *Verifier) keyOf(encoded string) (key, error) {
	text, err := decode(encoded)
	if err != nil {
		return key{}, ErrInvalidAccessToken
	}
	var h header
	if err := json.Unmarshal(text, &h, json.RejectUnknownMembers(true)); err != nil || h.Type != accessType {
		return key{}, ErrInvalidAccessToken
	}
	set := v.config.Keys.set.Load()
	k, known := set.byID[h.KeyID]
	switch {
	case known && h.Algorithm == k.method.Alg():
		return k, nil
	case !known && set.public && couldBeOurs(h):
		return key{}, ErrUnknownKey
	default:
		return key{}, ErrInvalidAccessToken
	}
}

// couldBeOurs tells whether a key of that name may have been made by a neighbour a moment ago.
func couldBeOurs(h header) bool {
	thumbprint, err := decode(h.KeyID)
	return err == nil && len(thumbprint) == sha256.Size && methodOf(Algorithm(h.Algorithm)) != nil
}

// claims reads what the signature has vouched for, and checks what an issuer of ours always writes.
func (v *Verifier) claims(encoded string) (claims AccessClaims, notBefore time.Time, err error) {
	refused := func() (AccessClaims, time.Time, error) { return AccessClaims{}, time.Time{}, ErrInvalidAccessToken }
	text, err := decode(encoded)
	if err != nil {
		return refused()
	}
	var p payload
	if err := json.Unmarshal(text, &p); err != nil { // duplicate names are an error here
		return refused()
	}
	subject, subjectOK := canonicalID(p.Subject)
	id, idOK := canonicalID(p.ID)
	session, sessionOK := canonicalID(p.SessionID)
	switch {
	case p.Issuer == nil || *p.Issuer != v.config.Issuer, // RFC 8725 §3.8
		p.Audience == nil || *p.Audience != v.config.Audience, // RFC 8725 §3.9
		!subjectOK, !idOK, !sessionOK, p.UserID != *p.Subject,
		p.ExpiresAt == nil, p.IssuedAt == nil, *p.ExpiresAt < 0, *p.ExpiresAt > math.MaxInt32*64:
		return refused()
	}
	if p.NotBefore != nil {
		notBefore = time.Unix(*p.NotBefore, 0)
	}
	if !v.hasBegun(notBefore) {
		return refused()
	}
	return AccessClaims{
		ID: id, Subject: subject, SessionID: session, ClientID: p.ClientID, Username: p.Username, Role: p.Role,
		Version: p.Version, AuthTime: time.Unix(p.AuthTime, 0).UTC(),
		IssuedAt: time.Unix(*p.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(*p.ExpiresAt, 0).UTC(), Custom: p.Custom,
		Audience: v.config.Audience,
	}, notBefore, nil
}

// canonicalID reads an id in the spelling that we write; the parser alone takes four.
func canonicalID(text *string) (uuid.UUID, bool) {
	if text == nil {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(*text)
	return id, err == nil && id.String() == *text
}

// decode takes the one spelling of base64url: no padding, no line break, no bits left over.
func decode(part string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(part) }
