package token

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrNotOurs: no token that this server ever made. It costs no look-up to say so.
	ErrNotOurs = errors.New("not a refresh token of this server")
	// ErrSeal: the seal does not open with this parent, or does not hold that child.
	ErrSeal = errors.New("seal does not open")
)

// The layout, version 1. 93 bytes are 124 base64url characters without a spare bit, so that there is
// one spelling for each token.
const (
	refreshPrefix  = "krt_" // for secret scanners
	refreshVersion = 1

	familyAt     = 1
	idAt         = familyAt + 16
	generationAt = idAt + 16
	dayAt        = generationAt + 8
	secretAt     = dayAt + 4
	macAt        = secretAt + secretBytes
	rawBytes     = macAt + macBytes
	wireBytes    = len(refreshPrefix) + rawBytes/3*4

	secretBytes = 32
	macBytes    = 16
	dayLength   = 24 * 60 * 60 // seconds
)

// RefreshToken is a refresh token in clear. It prints as a placeholder; only Reveal gives it away.
type RefreshToken struct {
	FamilyID   uuid.UUID
	TokenID    uuid.UUID
	Generation int64     // 0 for a login's own
	ExpiresOn  time.Time // UTC midnight of the day on which the family ends for good

	wire   string
	secret [secretBytes]byte
}

// Reveal returns the token as the client holds it.
func (t RefreshToken) Reveal() string { return t.wire }

// Hash is what is stored. SHA-256 is enough: the token has 256 random bits, so that a slow hash adds
// cost and no safety.
func (t RefreshToken) Hash() [32]byte { return sha256.Sum256([]byte(t.wire)) }

// RefreshCodec makes, reads and seals refresh tokens. It is safe for concurrent use.
type RefreshCodec struct {
	keys []codecKeys // the first makes, all of them read
}

type codecKeys struct {
	mac  []byte
	seal []byte
}

// NewRefreshCodec derives the keys of a secret that makes tokens and of earlier ones whose tokens are
// still accepted. The strength of a secret is its giver's business; an empty one is refused.
func NewRefreshCodec(current []byte, previous ...[]byte) (*RefreshCodec, error) {
	c := &RefreshCodec{}
	for _, secret := range append([][]byte{current}, previous...) {
		if len(secret) == 0 {
			return nil, errors.New("a refresh secret is empty")
		}
		mac, macErr := hkdf.Key(sha256.New, secret, nil, "kindred refresh token mac v1", sha256.Size)
		seal, sealErr := hkdf.Key(sha256.New, secret, nil, "kindred refresh token seal v1", sha256.Size)
		if err := errors.Join(macErr, sealErr); err != nil {
			return nil, fmt.Errorf("derive refresh keys: %w", err)
		}
		c.keys = append(c.keys, codecKeys{mac: mac, seal: seal})
	}
	return c, nil
}

// Mint makes a token with a new random secret. expiresOn is taken by its UTC day.
func (c *RefreshCodec) Mint(familyID, tokenID uuid.UUID, generation int64, expiresOn time.Time) (RefreshToken, error) {
	day := expiresOn.Unix() / dayLength
	if generation < 0 || day < 0 || day > 1<<32-1 {
		return RefreshToken{}, fmt.Errorf("generation %d or expiry day %d does not fit into a refresh token", generation, day)
	}
	var raw [rawBytes]byte
	raw[0] = refreshVersion
	copy(raw[familyAt:], familyID[:])
	copy(raw[idAt:], tokenID[:])
	binary.BigEndian.PutUint64(raw[generationAt:], uint64(generation))
	binary.BigEndian.PutUint32(raw[dayAt:], uint32(day))
	rand.Read(raw[secretAt:macAt])
	copy(raw[macAt:], mac(c.keys[0].mac, raw[:macAt]))
	return fromRaw(&raw), nil
}

// Parse reads a token as a client sends it. ErrNotOurs for all that no secret of the codec has made.
func (c *RefreshCodec) Parse(wire string) (RefreshToken, error) {
	if len(wire) != wireBytes || wire[:len(refreshPrefix)] != refreshPrefix {
		return RefreshToken{}, ErrNotOurs
	}
	var raw [rawBytes]byte
	// The decoder passes over line breaks; then fewer bytes come out than the length promises.
	n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(wire[len(refreshPrefix):]))
	if err != nil || n != rawBytes || raw[0] != refreshVersion || raw[generationAt]&0x80 != 0 {
		return RefreshToken{}, ErrNotOurs
	}
	for _, keys := range c.keys {
		if hmac.Equal(raw[macAt:], mac(keys.mac, raw[:macAt])) {
			return fromRaw(&raw), nil
		}
	}
	return RefreshToken{}, ErrNotOurs
}

func fromRaw(raw *[rawBytes]byte) RefreshToken {
	t := RefreshToken{
		Generation: int64(binary.BigEndian.Uint64(raw[generationAt:])),
		ExpiresOn:  time.Unix(int64(binary.BigEndian.Uint32(raw[dayAt:]))*dayLength, 0).UTC(),
		wire:       refreshPrefix + base64.RawURLEncoding.EncodeToString(raw[:]),
	}
	copy(t.FamilyID[:], raw[familyAt:])
	copy(t.TokenID[:], raw[idAt:])
	copy(t.secret[:], raw[secretAt:macAt])
	return t
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)[:macBytes]
}
