package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var (
	day      = time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	familyID = uuid.MustParse("01900000-0000-7000-8000-000000000001")
	parentID = uuid.MustParse("01900000-0000-7000-8000-000000000002")
	childID  = uuid.MustParse("0190abcd-0000-7000-8000-00000000000f")
)

// vector is a token of version 1, made with vectorSecret.
const (
	vectorSecret = "a secret of the vectors, 32 bytes"
	vector       = "krt_AQGQAAAAAHAAgAAAAAAAAAEBkAAAAABwAIAAAAAAAAACAAAAAAAAAAcAAFGFAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh_lhLx_2aFMiP10gABzdDSR"
)

func codec(t testing.TB, secrets ...string) *RefreshCodec {
	t.Helper()
	var previous [][]byte
	for _, s := range secrets[1:] {
		previous = append(previous, []byte(s))
	}
	c, err := NewRefreshCodec([]byte(secrets[0]), previous...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mint(t testing.TB, c *RefreshCodec, id uuid.UUID, generation int64) RefreshToken {
	t.Helper()
	minted, err := c.Mint(familyID, id, generation, day)
	if err != nil {
		t.Fatal(err)
	}
	return minted
}

func TestRefreshToken_RoundTrip(t *testing.T) {
	t.Parallel()
	c := codec(t, "secret")
	for _, generation := range []int64{0, 1, 1 << 40, 1<<63 - 1} {
		minted := mint(t, c, parentID, generation)
		parsed, err := c.Parse(minted.Reveal())
		if err != nil || parsed != minted {
			t.Errorf("generation %d: parsed differs, error %v", generation, err)
		}
		if len(minted.Reveal()) != 128 || !strings.HasPrefix(minted.Reveal(), "krt_") {
			t.Errorf("wire form has %d characters", len(minted.Reveal()))
		}
		if !parsed.ExpiresOn.Equal(day) || parsed.FamilyID != familyID || parsed.TokenID != parentID || parsed.Generation != generation {
			t.Errorf("parsed %v %v %v %v", parsed.FamilyID, parsed.TokenID, parsed.Generation, parsed.ExpiresOn)
		}
	}
	if a, b := mint(t, c, parentID, 0), mint(t, c, parentID, 0); a.Hash() == b.Hash() || a.secret == b.secret {
		t.Error("two tokens share their secret")
	}
}

// A token that was minted with the layout and keys of version 1. If this fails, every session that
// stands would be lost with the change that made it fail.
func TestRefreshToken_VersionOneStaysReadable(t *testing.T) {
	t.Parallel()
	parsed, err := codec(t, vectorSecret).Parse(vector)
	if err != nil {
		var raw [rawBytes]byte
		raw[0] = 1
		copy(raw[familyAt:], familyID[:])
		copy(raw[idAt:], parentID[:])
		raw[generationAt+7] = 7
		raw[dayAt+2], raw[dayAt+3] = 0x51, 0x85
		for i := range secretBytes {
			raw[secretAt+i] = byte(i)
		}
		copy(raw[macAt:], mac(codec(t, vectorSecret).keys[0].mac, raw[:macAt]))
		t.Fatalf("%v; the layout now gives %s", err, fromRaw(&raw).Reveal())
	}
	if parsed.FamilyID != familyID || parsed.TokenID != parentID || parsed.Generation != 7 || parsed.ExpiresOn.Unix() != 0x5185*86400 || parsed.secret[31] != 31 {
		t.Errorf("parsed %v %v %d %v", parsed.FamilyID, parsed.TokenID, parsed.Generation, parsed.ExpiresOn)
	}
}

func TestParse_EveryChangedByteIsNotOurs(t *testing.T) {
	t.Parallel()
	c := codec(t, "secret")
	raw, err := base64.RawURLEncoding.DecodeString(mint(t, c, parentID, 1).Reveal()[4:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for _, bit := range []byte{1, 0x80} {
			changed := bytes.Clone(raw)
			changed[i] ^= bit
			if _, err := c.Parse("krt_" + base64.RawURLEncoding.EncodeToString(changed)); !errors.Is(err, ErrNotOurs) {
				t.Errorf("byte %d: error %v", i, err)
			}
		}
	}
}

func TestParse_OneSpellingOnly(t *testing.T) {
	t.Parallel()
	c := codec(t, "secret")
	wire := mint(t, c, parentID, 1).Reveal()
	for name, other := range map[string]string{
		"empty": "", "prefix": "krt_", "cut": wire[:127], "longer": wire + "A", "padded": wire + "=", "line break behind": wire + "\n",
		"line break within": wire[:50] + "\n" + wire[51:], "line break, same length": wire[:127] + "\n", "blank before": " " + wire,
		"standard alphabet": strings.Map(func(r rune) rune {
			switch r {
			case '-':
				return '+'
			case '_':
				return '/'
			}
			return r
		}, wire),
		"another prefix": "krT_" + wire[4:], "no prefix": wire[4:], "two": wire + wire,
	} {
		if other == wire {
			continue
		}
		if _, err := c.Parse(other); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestCodec_PreviousSecretsReadAndDoNotMake(t *testing.T) {
	t.Parallel()
	before, during, after := codec(t, "old"), codec(t, "new", "old"), codec(t, "new")
	old := mint(t, before, parentID, 0)
	if _, err := during.Parse(old.Reveal()); err != nil {
		t.Errorf("a previous secret's token: %v", err)
	}
	if _, err := after.Parse(old.Reveal()); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a dropped secret's token: error %v", err)
	}
	made := mint(t, during, childID, 1)
	if _, err := before.Parse(made.Reveal()); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a token of the new secret under the old one: error %v", err)
	}
	if _, err := NewRefreshCodec(nil); err == nil {
		t.Error("an empty secret is accepted")
	}
	if _, err := NewRefreshCodec([]byte("x"), nil); err == nil {
		t.Error("an empty previous secret is accepted")
	}
}

func TestMint_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	c := codec(t, "secret")
	if _, err := c.Mint(familyID, parentID, -1, day); err == nil {
		t.Error("a negative generation is accepted")
	}
	if _, err := c.Mint(familyID, parentID, 0, time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)); err == nil {
		t.Error("a day before 1970 is accepted")
	}
}

func TestSeal_OpensWithItsParentOnly(t *testing.T) {
	t.Parallel()
	c := codec(t, "secret", "older")
	parent, child := mint(t, c, parentID, 4), mint(t, c, childID, 5)
	sealed, err := c.Seal(parent, child)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte(child.Reveal()[100:])) {
		t.Error("the child is in the seal in clear")
	}
	if opened, err := c.OpenSeal(parent, childID, 5, sealed); err != nil || opened != child {
		t.Errorf("opened differs, error %v", err)
	}
	if again, err := c.Seal(parent, child); err != nil || bytes.Equal(again, sealed) {
		t.Errorf("sealing twice gives the same, error %v", err)
	}
	sameIDs := mint(t, c, parentID, 4) // another secret
	otherFamily := parent
	otherFamily.FamilyID = uuid.New()
	otherParent := parent
	otherParent.TokenID = uuid.New()
	for name, open := range map[string]func() (RefreshToken, error){
		"a parent with another secret": func() (RefreshToken, error) { return c.OpenSeal(sameIDs, childID, 5, sealed) },
		"another family":               func() (RefreshToken, error) { return c.OpenSeal(otherFamily, childID, 5, sealed) },
		"another parent id":            func() (RefreshToken, error) { return c.OpenSeal(otherParent, childID, 5, sealed) },
		"another child":                func() (RefreshToken, error) { return c.OpenSeal(parent, uuid.New(), 5, sealed) },
		"another generation":           func() (RefreshToken, error) { return c.OpenSeal(parent, childID, 6, sealed) },
		"another server":               func() (RefreshToken, error) { return codec(t, "else").OpenSeal(parent, childID, 5, sealed) },
		"a damaged seal": func() (RefreshToken, error) {
			return c.OpenSeal(parent, childID, 5, append(bytes.Clone(sealed[1:]), 0))
		},
		"no seal": func() (RefreshToken, error) { return c.OpenSeal(parent, childID, 5, nil) },
	} {
		if _, err := open(); !errors.Is(err, ErrSeal) {
			t.Errorf("%s: error %v, want ErrSeal", name, err)
		}
	}
	if opened, err := codec(t, "newer", "secret").OpenSeal(parent, childID, 5, sealed); err != nil || opened != child {
		t.Errorf("after the secret changed: error %v", err)
	}
}

func TestRefreshToken_PrintsAsAPlaceholder(t *testing.T) {
	t.Parallel()
	minted := mint(t, codec(t, "secret"), parentID, 1)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", minted)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", &minted, "in", map[string]any{"t": minted})
	asJSON, err := json.Marshal(map[string]any{"t": minted, "p": &minted})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", minted, minted, minted, minted, minted, minted, minted, []RefreshToken{minted}) + log.String() + string(asJSON)
	for _, secret := range []string{minted.Reveal()[80:], fmt.Sprintf("%x", minted.secret), fmt.Sprint(minted.secret)} {
		if strings.Contains(printed, secret) {
			t.Errorf("printed in clear: %s", printed)
		}
	}
}

func FuzzParseRefresh(f *testing.F) {
	// Fixed: the fuzzing processes must agree on what was made.
	c, good := codec(f, vectorSecret), vector
	for _, seed := range []string{"", "krt_", good, good[:127], good + "=", strings.ToUpper(good), good[:60] + "\r\n" + good[62:]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		parsed, err := c.Parse(wire)
		if err != nil {
			if !errors.Is(err, ErrNotOurs) {
				t.Errorf("error %v", err)
			}
			return
		}
		if wire != good || parsed.Reveal() != wire {
			t.Errorf("%q was never made and parses", wire)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	c := codec(b, "secret")
	wire := mint(b, c, parentID, 3).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Parse(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMintAndSeal(b *testing.B) {
	c := codec(b, "secret")
	parent := mint(b, c, parentID, 3)
	b.ReportAllocs()
	for b.Loop() {
		child := mint(b, c, childID, 4)
		if _, err := c.Seal(parent, child); err != nil {
			b.Fatal(err)
		}
	}
}
