package password

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strings"
)

type pbkdf2Hash struct {
	function   func() hash.Hash
	iterations int
	salt, tag  []byte
}

// parsePasslibPBKDF2 reads $pbkdf2-sha256$iterations$salt$tag, both in passlib's unpadded base64, which has a
// dot for the plus sign.
func parsePasslibPBKDF2(name, text string) (foreign, error) {
	function := map[string]func() hash.Hash{"pbkdf2": sha1.New, "pbkdf2-sha256": sha256.New, "pbkdf2-sha512": sha512.New}[name]
	parts := strings.Split(text, "$")
	if len(parts) != 5 || function == nil {
		return nil, ErrMalformedHash
	}
	iterations, ok := number(parts[2])
	salt, saltErr := passlibBase64(parts[3])
	tag, tagErr := passlibBase64(parts[4])
	if !ok || saltErr != nil || tagErr != nil {
		return nil, ErrMalformedHash
	}
	return pbkdf2Hash{function, iterations, salt, tag}.checked()
}

func passlibBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "+\r\n") {
		return nil, ErrMalformedHash
	}
	return base64.RawStdEncoding.Strict().DecodeString(strings.ReplaceAll(text, ".", "+"))
}

// parseDjangoPBKDF2 reads what follows pbkdf2_sha256$: iterations$salt$tag, the salt as it stands, the tag in
// base64.
func parseDjangoPBKDF2(scheme, text string) (foreign, error) {
	function := map[string]func() hash.Hash{"pbkdf2_sha1": sha1.New, "pbkdf2_sha256": sha256.New}[scheme]
	parts := strings.Split(text, "$")
	if len(parts) != 3 || function == nil {
		return nil, ErrMalformedHash
	}
	iterations, ok := number(parts[0])
	tag, err := djangoEncoding.DecodeString(parts[2])
	if !ok || err != nil || djangoEncoding.EncodeToString(tag) != parts[2] {
		return nil, ErrMalformedHash
	}
	return pbkdf2Hash{function, iterations, []byte(parts[1]), tag}.checked()
}

// checked wants a tag as long as the hash, which is what all of them write: a longer one would cost as many
// times more.
func (h pbkdf2Hash) checked() (foreign, error) {
	const maxIterations = 3_000_000
	if len(h.salt) == 0 || len(h.salt) > maxBytes || len(h.tag) != h.function().Size() {
		return nil, ErrMalformedHash
	}
	if h.iterations > maxIterations {
		return nil, errCostly
	}
	return h, nil
}

func (h pbkdf2Hash) matches(password string) bool {
	tag, err := pbkdf2.Key(h.function, password, h.salt, h.iterations, len(h.tag))
	return err == nil && subtle.ConstantTimeCompare(tag, h.tag) == 1
}
