package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/crypto/scrypt"
)

type scryptHash struct {
	logN, r, p int
	salt, tag  []byte
}

// parsePasslibScrypt reads $scrypt$ln=16,r=8,p=1$salt$tag, both in unpadded base64.
func parsePasslibScrypt(text string) (foreign, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 {
		return nil, ErrMalformedHash
	}
	var h scryptHash
	if n, err := fmt.Sscanf(parts[2], "ln=%d,r=%d,p=%d", &h.logN, &h.r, &h.p); err != nil || n != 3 {
		return nil, ErrMalformedHash
	}
	var saltErr, tagErr error
	h.salt, saltErr = phcEncoding.DecodeString(parts[3])
	h.tag, tagErr = phcEncoding.DecodeString(parts[4])
	written := fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", h.logN, h.r, h.p, phcEncoding.EncodeToString(h.salt), phcEncoding.EncodeToString(h.tag))
	if saltErr != nil || tagErr != nil || written != text {
		return nil, ErrMalformedHash
	}
	return h.checked()
}

// parseDjangoScrypt reads what follows scrypt$: N$salt$r$p$tag, the salt as it stands, the tag in base64.
func parseDjangoScrypt(text string) (foreign, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 {
		return nil, ErrMalformedHash
	}
	n, okN := number(parts[0])
	r, okR := number(parts[2])
	p, okP := number(parts[3])
	tag, err := djangoEncoding.DecodeString(parts[4])
	if err != nil || djangoEncoding.EncodeToString(tag) != parts[4] || !okN || !okR || !okP || bits.OnesCount(uint(n)) != 1 {
		return nil, ErrMalformedHash
	}
	return scryptHash{logN: bits.TrailingZeros(uint(n)), r: r, p: p, salt: []byte(parts[1]), tag: tag}.checked()
}

var djangoEncoding = base64.StdEncoding.Strict()

// checked keeps one hash from being a bomb: 256 MiB, and as much work as four times that memory.
func (h scryptHash) checked() (foreign, error) {
	const maxLog, maxFactor, maxMemory, maxWork = 20, 1 << 10, 256 << 20, 1 << 30
	if h.logN < 1 || h.r < 1 || h.p < 1 || len(h.salt) == 0 || len(h.salt) > maxBytes || len(h.tag) < 16 || len(h.tag) > maxBytes {
		return nil, ErrMalformedHash
	}
	if h.logN > maxLog || h.r > maxFactor || h.p > maxFactor || h.memory() > maxMemory || h.memory()*h.p > maxWork {
		return nil, errCostly
	}
	return h, nil
}

// memory is what RFC 7914 §2 says that it takes, in bytes.
func (h scryptHash) memory() int { return 128 * h.r << h.logN }

func (h scryptHash) matches(password string) bool {
	tag, err := scrypt.Key([]byte(password), h.salt, 1<<h.logN, h.r, h.p, len(h.tag))
	return err == nil && subtle.ConstantTimeCompare(tag, h.tag) == 1
}
