package token

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func newKeyBox(t testing.TB, current []byte, previous ...[]byte) *KeyBox {
	t.Helper()
	box, err := NewKeyBox(current, previous...)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestKeyBox_OpensWhatItSealed(t *testing.T) {
	t.Parallel()
	older, newer := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for _, k := range signingKeys(t) {
		sealed, err := newKeyBox(t, older).Seal(k)
		if err != nil {
			t.Fatal(err)
		}
		again, err := newKeyBox(t, older).Seal(k)
		if err != nil || bytes.Equal(sealed, again) {
			t.Errorf("%s: sealed twice alike, error %v", k.Algorithm, err)
		}
		opened, err := newKeyBox(t, newer, older).Open(k.ID, k.Algorithm, sealed)
		if err != nil || opened.ID != k.ID || opened.Algorithm != k.Algorithm {
			t.Errorf("with the older key as a previous one: %v", err)
		}
		if resealed, err := newKeyBox(t, newer, older).Seal(k); err != nil {
			t.Error(err)
		} else if _, err := newKeyBox(t, older).Open(k.ID, k.Algorithm, resealed); !errors.Is(err, ErrKeyBox) {
			t.Errorf("sealed with a previous key: error %v", err)
		}
		if _, err := newKeyBox(t, newer).Open(k.ID, k.Algorithm, sealed); !errors.Is(err, ErrKeyBox) {
			t.Errorf("without the older key: error %v, want ErrKeyBox", err)
		}
	}
	for _, length := range []int{0, 16, 31, 33} {
		if _, err := NewKeyBox(make([]byte, length)); err == nil {
			t.Errorf("a key-encryption key of %d bytes is taken", length)
		}
		if _, err := NewKeyBox(older, make([]byte, length)); err == nil {
			t.Errorf("a previous key-encryption key of %d bytes is taken", length)
		}
	}
}

// A row that somebody changed who can write to the database, and does not have the key, is no key.
func TestKeyBox_ChangedRowsDoNotOpen(t *testing.T) {
	t.Parallel()
	kek, vectors := keyVectors(t)
	box := newKeyBox(t, kek)
	good, other := vectors[0], vectors[1]
	for name, v := range map[string]keyVector{
		"another kid":           {KeyID: other.KeyID, Algorithm: good.Algorithm, Sealed: good.Sealed},
		"no kid":                {Algorithm: good.Algorithm, Sealed: good.Sealed},
		"another algorithm":     {KeyID: good.KeyID, Algorithm: RS256, Sealed: good.Sealed},
		"HS256":                 {KeyID: good.KeyID, Algorithm: "HS256", Sealed: good.Sealed},
		"another key's content": {KeyID: good.KeyID, Algorithm: good.Algorithm, Sealed: other.Sealed},
		"nothing":               {KeyID: good.KeyID, Algorithm: good.Algorithm},
		"cut off":               {KeyID: good.KeyID, Algorithm: good.Algorithm, Sealed: good.Sealed[:len(good.Sealed)-1]},
		"something behind":      {KeyID: good.KeyID, Algorithm: good.Algorithm, Sealed: append(slices.Clone(good.Sealed), 0)},
	} {
		if _, err := box.Open(v.KeyID, v.Algorithm, v.Sealed); !errors.Is(err, ErrKeyBox) {
			t.Errorf("%s: error %v, want ErrKeyBox", name, err)
		}
	}
	for i := range good.Sealed {
		changed := slices.Clone(good.Sealed)
		changed[i] ^= 1
		if _, err := box.Open(good.KeyID, good.Algorithm, changed); !errors.Is(err, ErrKeyBox) {
			t.Fatalf("with byte %d changed: error %v, want ErrKeyBox", i, err)
		}
	}
}

// Whoever has the key-encryption key could seal what is no such key; the id then gives it away.
func TestKeyBox_IDAndAlgorithmAreThoseOfTheKeyInside(t *testing.T) {
	t.Parallel()
	list := signingKeys(t)
	box := newKeyBox(t, bytes.Repeat([]byte{1}, 32))
	for name, lie := range map[string]SigningKey{
		"another's id":      {ID: list[1].ID, Algorithm: ES256, Private: list[0].Private},
		"another algorithm": {ID: list[0].ID, Algorithm: RS256, Private: list[0].Private},
	} {
		sealed, err := box.Seal(lie)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := box.Open(lie.ID, lie.Algorithm, sealed); !errors.Is(err, ErrKeyBox) {
			t.Errorf("%s: error %v, want ErrKeyBox", name, err)
		}
	}
}
