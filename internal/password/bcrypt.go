package password

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// bcryptHash is what $2a$, $2b$ and $2y$ name: one function, which the three spell since some made of it a
// wrong one ($2x$).
type bcryptHash struct {
	text      string
	prehashed bool // Django's bcrypt_sha256: of the SHA-256 of the password, in hexadecimal
}

func parseBcrypt(text string) (foreign, error) {
	const length, maxCost = 60, 15
	known := strings.HasPrefix(text, "$2a$") || strings.HasPrefix(text, "$2b$") || strings.HasPrefix(text, "$2y$")
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || !known || len(text) != length || text[6] != '$' || strings.Trim(text[7:], bcryptAlphabet) != "" {
		return nil, ErrMalformedHash
	}
	if cost > maxCost {
		return nil, errCostly
	}
	return bcryptHash{text: text}, nil
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func parsePrehashedBcrypt(text string) (foreign, error) {
	if _, err := parseBcrypt(text); err != nil {
		return nil, err
	}
	return bcryptHash{text: text, prehashed: true}, nil
}

func (h bcryptHash) matches(password string) bool {
	// bcrypt looks at 72 bytes only: with a longer password, every one that begins alike would match.
	const maxBytes = 72
	if h.prehashed {
		sum := sha256.Sum256([]byte(password))
		password = hex.EncodeToString(sum[:])
	}
	short := password[:min(len(password), maxBytes)] // the same work for a longer one, and no match
	return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(short)) == nil && short == password
}
