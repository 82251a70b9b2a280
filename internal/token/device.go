package token

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ErrNotOurDevice: no device token that this server ever made.
var ErrNotOurDevice = errors.New("not a device token of this server")

// The layout, version 1: 57 bytes are 76 base64url characters without a spare bit.
const (
	devicePrefix  = "kdt_"
	deviceVersion = 1

	deviceIDAt     = 1
	deviceUserAt   = deviceIDAt + 16
	deviceIssuedAt = deviceUserAt + 16
	deviceMACAt    = deviceIssuedAt + 8
	deviceRawBytes = deviceMACAt + macBytes
	deviceBytes    = len(devicePrefix) + deviceRawBytes/3*4

	// DeviceLifetime is how long a device is remembered after a login on it: as long as browsers keep a
	// cookie (RFC 6265bis §5.5).
	DeviceLifetime = 400 * 24 * time.Hour
)

// Device says that a user has logged in on a device. It lets nobody in: guesses that come with it are
// counted by themselves.
type Device struct {
	ID       uuid.UUID
	UserID   uuid.UUID
	IssuedAt time.Time // of whole microseconds
}

// DeviceCodec makes and reads device tokens. It is safe for concurrent use.
type DeviceCodec struct {
	keys [][]byte // the first makes, all of them read
}

// NewDeviceCodec derives keys of the secrets that refresh tokens are made with, under a label of their own.
func NewDeviceCodec(current []byte, previous ...[]byte) (*DeviceCodec, error) {
	c := &DeviceCodec{}
	for _, secret := range append([][]byte{current}, previous...) {
		if len(secret) == 0 {
			return nil, errors.New("a secret of device tokens is empty")
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "kindred device token mac v1", sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive device key: %w", err)
		}
		c.keys = append(c.keys, key)
	}
	return c, nil
}

// Mint writes a device token.
func (c *DeviceCodec) Mint(d Device) string {
	var raw [deviceRawBytes]byte
	raw[0] = deviceVersion
	copy(raw[deviceIDAt:], d.ID[:])
	copy(raw[deviceUserAt:], d.UserID[:])
	binary.BigEndian.PutUint64(raw[deviceIssuedAt:], uint64(d.IssuedAt.UnixMicro()))
	copy(raw[deviceMACAt:], mac(c.keys[0], raw[:deviceMACAt]))
	return devicePrefix + base64.RawURLEncoding.EncodeToString(raw[:])
}

// Parse reads a device token as a client sends it. ErrNotOurDevice for all that no secret of the codec has
// made, and for each other spelling of one.
func (c *DeviceCodec) Parse(wire string) (Device, error) {
	if len(wire) != deviceBytes || wire[:len(devicePrefix)] != devicePrefix {
		return Device{}, ErrNotOurDevice
	}
	var raw [deviceRawBytes]byte
	// The decoder passes over line breaks; then fewer bytes come out than the length promises.
	n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(wire[len(devicePrefix):]))
	if err != nil || n != deviceRawBytes || raw[0] != deviceVersion {
		return Device{}, ErrNotOurDevice
	}
	for _, key := range c.keys {
		if hmac.Equal(raw[deviceMACAt:], mac(key, raw[:deviceMACAt])) {
			d := Device{IssuedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(raw[deviceIssuedAt:]))).UTC()}
			copy(d.ID[:], raw[deviceIDAt:])
			copy(d.UserID[:], raw[deviceUserAt:])
			return d, nil
		}
	}
	return Device{}, ErrNotOurDevice
}
