package password

import (
	"strconv"
	"strings"
)

// foreign is a hash that another system made, read and found to be within bounds.
type foreign interface {
	matches(password string) bool
}

// Check tells whether Verify can read a hash and would do the work that it asks for. The error is
// ErrMalformedHash; it does not quote the hash. The forms are
//
//   - argon2id and argon2i of version 19, as PHC strings and as Django writes them (argon2$…)
//   - bcrypt: $2a$, $2b$, $2y$, and Django's bcrypt$… and bcrypt_sha256$…
//   - scrypt: passlib's $scrypt$ln=…,r=…,p=…$… and Django's scrypt$…
//   - PBKDF2: passlib's $pbkdf2$…, $pbkdf2-sha256$…, $pbkdf2-sha512$… and Django's pbkdf2_sha1$…, pbkdf2_sha256$…
func Check(hash string) error {
	_, err := parseForeign(hash)
	return err
}

// Foreign writes a hash that Check accepts so that Verify knows it for another system's, whatever its cost: an
// argon2id hash as it stands is taken for one of ours, which are of NFC only.
func Foreign(hash string) string {
	if strings.HasPrefix(hash, argon2idPrefix) {
		return "argon2" + hash
	}
	return hash
}

// parseForeign reads each form in one spelling only: what we read is what was written.
func parseForeign(text string) (foreign, error) {
	const maxText = 512
	outside := func(c rune) bool { return c <= ' ' || c > '~' }
	if len(text) > maxText || strings.ContainsFunc(text, outside) {
		return nil, ErrMalformedHash
	}
	scheme, rest, _ := strings.Cut(text, "$")
	switch scheme {
	case "":
		name, _, _ := strings.Cut(rest, "$")
		return parseCrypt(name, text)
	case "argon2":
		return parsePHC("$" + rest)
	case "bcrypt":
		return parseBcrypt(rest)
	case "bcrypt_sha256":
		return parsePrehashedBcrypt(rest)
	case "scrypt":
		return parseDjangoScrypt(rest)
	case "pbkdf2_sha1", "pbkdf2_sha256":
		return parseDjangoPBKDF2(scheme, rest)
	}
	return nil, ErrMalformedHash
}

// parseCrypt reads the forms that begin with a dollar sign and a name.
func parseCrypt(name, text string) (foreign, error) {
	switch name {
	case "argon2id", "argon2i":
		return parsePHC(text)
	case "2a", "2b", "2y":
		return parseBcrypt(text)
	case "scrypt":
		return parsePasslibScrypt(text)
	case "pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePasslibPBKDF2(name, text)
	}
	return nil, ErrMalformedHash
}

// number reads a positive decimal in its one spelling, 1<<30 at most.
func number(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n > 0 && n <= 1<<30 && strconv.Itoa(n) == text
}
