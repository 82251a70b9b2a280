package password

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// vector is a hash that another program made.
type vector struct{ Name, Source, Password, Hash string }

func vectors(t testing.TB) (list []vector) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors/password_hashes.json")
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil || len(list) < 13 {
		t.Fatalf("%d vectors, error %v", len(list), err)
	}
	return list
}

func TestVerify_HashesOfOtherSystems(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap})
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			if err := Check(v.Hash); err != nil {
				t.Errorf("Check: %v", err)
			}
			if got, err := h.Verify(t.Context(), v.Hash, v.Password); err != nil || got != (Result{Match: true, Rehash: true}) {
				t.Errorf("%+v, error %v", got, err)
			}
			for _, wrong := range []string{"", v.Password + " ", v.Password[1:]} {
				if got, err := h.Verify(t.Context(), v.Hash, wrong); err != nil || got != (Result{}) {
					t.Errorf("%q: %+v, error %v", wrong, got, err)
				}
			}
		})
	}
}

// Each spelling but the one that was written is refused, and with it what only looks like a hash.
func TestCheck_OneSpellingEach(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		for name, damaged := range map[string]string{
			"cut": v.Hash[:len(v.Hash)/2], "a space behind": v.Hash + " ", "a line break behind": v.Hash + "\n", "a further part": v.Hash + "$", "a space before": " " + v.Hash,
			"padded": v.Hash + "==", "upper case": strings.ToUpper(v.Hash), "a NUL behind": v.Hash + "\x00", "doubled": v.Hash + v.Hash, "a zero before the cost": leadingZero(v.Hash),
		} {
			if err := Check(damaged); !errors.Is(err, ErrMalformedHash) {
				t.Errorf("%s, %s: error %v", v.Name, name, err)
			}
		}
	}
}

// leadingZero puts one before the first number that follows a dollar or an equals sign.
func leadingZero(hash string) string {
	for i := 1; i < len(hash); i++ {
		if strings.ContainsRune("$=", rune(hash[i-1])) && hash[i] >= '1' && hash[i] <= '9' {
			return hash[:i] + "0" + hash[i:]
		}
	}
	return "0" + hash
}

func TestCheck_NoHashIsABomb(t *testing.T) {
	t.Parallel()
	const salt, tag = "c29tZXNhbHRzYWx0c29tZQ", "dGFndGFndGFndGFndGFndGFndGFndGFndGFndGFndGE"
	for name, hash := range map[string]string{
		"argon2 of 4 GiB": "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + tag, "argon2 of minutes": "$argon2i$v=19$m=1048576,t=100,p=1$" + salt + "$" + tag,
		"Django's argon2 of minutes": "argon2$argon2i$v=19$m=1048576,t=100,p=1$" + salt + "$" + tag,
		"bcrypt of days":             "$2b$31$" + strings.Repeat("a", 53), "Django's bcrypt of days": "bcrypt_sha256$$2b$31$" + strings.Repeat("a", 53),
		"scrypt of 1 GiB": "$scrypt$ln=20,r=8,p=1$" + salt + "$" + tag, "scrypt of minutes": "$scrypt$ln=14,r=8,p=1024$" + salt + "$" + tag,
		"scrypt that overflows": "$scrypt$ln=62,r=8,p=1$" + salt + "$" + tag, "Django's scrypt of 1 GiB": "scrypt$1048576$salt$8$1$" + tag + "=",
		"PBKDF2 of minutes": "$pbkdf2-sha256$1000000000$" + salt + "$" + tag, "Django's PBKDF2 of minutes": "pbkdf2_sha256$1000000000$salt$" + tag + "=",
		"a tag of kilobytes": "pbkdf2_sha256$1000$salt$" + strings.Repeat("dGFn", 1000), "a salt of kilobytes": "pbkdf2_sha256$1000$" + strings.Repeat("s", 4000) + "$" + tag + "=",
	} {
		if err := Check(hash); !errors.Is(err, ErrMalformedHash) || strings.Contains(err.Error(), hash) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestCheck_WhatIsNoHash(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "password123", "$", "$$", "$1$salt$hash", "$5$salt$hash", "$6$salt$hash", "$2x$04$" + strings.Repeat("a", 53), "$2$04$" + strings.Repeat("a", 53),
		"md5$salt$hash", "!unusable", "pbkdf2_sha512$1000$salt$x", "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHRzYWx0c29tZQ$dGFndGFndGFndGFndGFndGFndGFndGFndGFndGFndGE",
		"scrypt$1000$salt$8$1$dGFndGFndGFndGFndGFndGFndGFndGFndGFndGFndGE=", "$2b$04$" + strings.Repeat("a", 52) + "\n", "bcrypt$$argon2id$v=19$",
		"pbkdf2_sha1$1000$sa\x00lt$UwJSe11c/XLgiU/Hbtj6iDykjX8=", "pbkdf2_sha1$1000$sält$UwJSe11c/XLgiU/Hbtj6iDykjX8=",
	} {
		if err := Check(text); !errors.Is(err, ErrMalformedHash) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

// The other system hashed what was typed, and not its NFC; of our own hashes there is one text only.
func TestVerify_TriesTheTextAsTypedOnForeignHashesOnly(t *testing.T) {
	t.Parallel()
	const composed, decomposed = "caf\u00e9 noir", "cafe\u0301 noir"
	h := hasher(t, Config{Params: cheap})
	foreignHash, err := bcrypt.GenerateFromPassword([]byte(decomposed), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Verify(t.Context(), string(foreignHash), composed, decomposed); err != nil || !got.Match {
		t.Errorf("as typed: %+v, error %v", got, err)
	}
	if got, err := h.Verify(t.Context(), string(foreignHash), composed, composed); err != nil || got.Match {
		t.Errorf("another text: %+v, error %v", got, err)
	}
	own, err := h.Hash(t.Context(), decomposed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Verify(t.Context(), own, composed, decomposed); err != nil || got.Match {
		t.Errorf("a hash of ours: %+v, error %v", got, err)
	}
}

func TestVerify_Bcrypt(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Params: cheap})
	long := strings.Repeat("a", 72)
	hash, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"$2a$", "$2b$", "$2y$"} {
		stored := prefix + string(hash[4:])
		if got, err := h.Verify(t.Context(), stored, long); err != nil || got != (Result{Match: true, Rehash: true}) {
			t.Errorf("%s: %+v, error %v", prefix, got, err)
		}
		// bcrypt itself would compare the first 72 bytes and let this in
		if got, err := h.Verify(t.Context(), stored, long+"b"); err != nil || got.Match {
			t.Errorf("%s: a longer password with the same beginning: %+v, error %v", prefix, got, err)
		}
		if got, err := h.Verify(t.Context(), stored, long[:71]); err != nil || got.Match {
			t.Errorf("%s: a shorter one: %+v, error %v", prefix, got, err)
		}
	}
}

func FuzzParseForeign(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Hash)
	}
	f.Fuzz(func(t *testing.T, text string) {
		stored, err := parseForeign(text)
		if err != nil && !errors.Is(err, ErrMalformedHash) {
			t.Errorf("error %v", err)
		}
		if h, ok := stored.(scryptHash); ok && (h.memory() > 256<<20 || len(h.tag) > maxBytes) {
			t.Errorf("%q takes %d bytes", text, h.memory())
		}
		if err == nil && slices.Contains([]byte(text), 0) {
			t.Errorf("%q is accepted", text)
		}
	})
}
