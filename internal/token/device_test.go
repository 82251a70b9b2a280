package token

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var device = Device{
	ID: uuid.MustParse("01900000-0000-4000-8000-000000000001"), UserID: uuid.MustParse("01900000-0000-7000-8000-000000000002"),
	IssuedAt: time.Date(2027, 3, 1, 10, 20, 30, 456789000, time.UTC),
}

// deviceVector is a token of version 1, made with vectorSecret.
const deviceVector = "kdt_AQGQAAAAAEAAgAAAAAAAAAEBkAAAAABwAIAAAAAAAAACAAZool3y79WEKhO52I_Z5_7rLx3QCx2y"

func deviceCodec(t testing.TB, secrets ...string) *DeviceCodec {
	t.Helper()
	var previous [][]byte
	for _, s := range secrets[1:] {
		previous = append(previous, []byte(s))
	}
	c, err := NewDeviceCodec([]byte(secrets[0]), previous...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// If this fails, every device that is known would be forgotten with the change that made it fail.
func TestDeviceToken_VersionOneStaysReadable(t *testing.T) {
	t.Parallel()
	c := deviceCodec(t, vectorSecret)
	if made := c.Mint(device); made != deviceVector {
		t.Errorf("the layout now gives %s", made)
	}
	if parsed, err := c.Parse(deviceVector); err != nil || parsed != device {
		t.Errorf("parsed %+v, error %v", parsed, err)
	}
}

func TestDeviceToken_EveryChangedByteIsNotOurs(t *testing.T) {
	t.Parallel()
	c := deviceCodec(t, "secret")
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(c.Mint(device), devicePrefix))
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for _, bit := range []byte{1, 0x80} {
			changed := bytes.Clone(raw)
			changed[i] ^= bit
			if _, err := c.Parse(devicePrefix + base64.RawURLEncoding.EncodeToString(changed)); !errors.Is(err, ErrNotOurDevice) {
				t.Errorf("byte %d: error %v", i, err)
			}
		}
	}
}

func TestDeviceToken_OneSpellingOnly(t *testing.T) {
	t.Parallel()
	c := deviceCodec(t, "secret")
	wire := c.Mint(device)
	for name, other := range map[string]string{
		"empty": "", "prefix": devicePrefix, "cut": wire[:len(wire)-1], "longer": wire + "A", "padded": wire + "=",
		"line break": wire[:len(wire)-1] + "\n", "blank": " " + wire, "another prefix": "krt_" + wire[4:],
	} {
		if _, err := c.Parse(other); !errors.Is(err, ErrNotOurDevice) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A refresh token and a device token are made of one secret, and neither passes for the other.
func TestDeviceToken_KeysAreItsOwnAndPreviousOnesRead(t *testing.T) {
	t.Parallel()
	before, during, after := deviceCodec(t, "old"), deviceCodec(t, "new", "old"), deviceCodec(t, "new")
	if _, err := during.Parse(before.Mint(device)); err != nil {
		t.Errorf("a previous secret's token: %v", err)
	}
	if _, err := after.Parse(before.Mint(device)); !errors.Is(err, ErrNotOurDevice) {
		t.Errorf("a dropped secret's token: error %v", err)
	}
	if _, err := before.Parse(during.Mint(device)); !errors.Is(err, ErrNotOurDevice) {
		t.Errorf("a token of the new secret under the old one: error %v", err)
	}
	if bytes.Equal(before.keys[0], codec(t, "old").keys[0].mac) {
		t.Error("device and refresh tokens share a key")
	}
	if _, err := NewDeviceCodec([]byte("x"), nil); err == nil {
		t.Error("an empty previous secret is accepted")
	}
}

func FuzzParseDevice(f *testing.F) {
	c := deviceCodec(f, vectorSecret)
	for _, seed := range []string{"", devicePrefix, deviceVector, deviceVector[:len(deviceVector)-1], deviceVector + "=", strings.ToUpper(deviceVector)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		parsed, err := c.Parse(wire)
		if err == nil && (wire != deviceVector || parsed != device) {
			t.Errorf("%q was never made and parses", wire)
		}
	})
}
