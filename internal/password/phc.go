package password

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// ErrMalformedHash: a stored hash that is none of the forms we read, or asks for more work than we do.
var ErrMalformedHash = errors.New("malformed password hash")

var errCostly = fmt.Errorf("%w: it asks for more work than one login may cost", ErrMalformedHash)

// Params is the cost of argon2id.
type Params struct {
	MemoryKiB   uint32
	Iterations  uint32
	Parallelism uint8
}

// DefaultParams is the OWASP Password Storage Cheat Sheet's first choice for a server: 19 MiB, 2, 1.
func DefaultParams() Params { return Params{MemoryKiB: 19 << 10, Iterations: 2, Parallelism: 1} }

// Bounds on what a stored hash may ask for: a row that somebody wrote must not become a memory bomb.
const (
	maxMemoryKiB   = 1 << 20
	maxIterations  = 100
	maxPassesKiB   = 2 << 20 // memory times iterations: about two seconds
	maxParallelism = 16
	maxBytes       = 64 // of salt and tag

	saltBytes = 16
	tagBytes  = 32
)

func (p Params) check() error {
	switch {
	case p.Parallelism < 1 || p.Parallelism > maxParallelism:
		return fmt.Errorf("parallelism must be 1 to %d", maxParallelism)
	case p.MemoryKiB < 8*uint32(p.Parallelism) || p.MemoryKiB > maxMemoryKiB:
		return fmt.Errorf("memory must be 8 KiB for each lane to %d KiB", maxMemoryKiB)
	case p.Iterations < 1 || p.Iterations > maxIterations:
		return fmt.Errorf("iterations must be 1 to %d", maxIterations)
	case uint64(p.MemoryKiB)*uint64(p.Iterations) > maxPassesKiB:
		return fmt.Errorf("memory times iterations must be %d KiB at most", maxPassesKiB)
	}
	return nil
}

// phc is a hash of argon2id, or of argon2i, as the PHC string format writes it.
type phc struct {
	prefix string
	params Params
	salt   []byte
	tag    []byte
}

func derive(password string, params Params, salt []byte, length int) []byte {
	return argon2.IDKey([]byte(password), salt, params.Iterations, params.MemoryKiB, params.Parallelism, uint32(length))
}

const argon2idPrefix, argon2iPrefix = "$argon2id$v=19$", "$argon2i$v=19$"

var phcEncoding = base64.RawStdEncoding.Strict()

func (h phc) String() string {
	return fmt.Sprintf("%sm=%d,t=%d,p=%d$%s$%s", h.prefix, h.params.MemoryKiB, h.params.Iterations, h.params.Parallelism,
		phcEncoding.EncodeToString(h.salt), phcEncoding.EncodeToString(h.tag))
}

// parsePHC reads exactly what String writes: one spelling, all three parameters, within the bounds.
func parsePHC(text string) (phc, error) {
	h := phc{prefix: argon2idPrefix}
	if strings.HasPrefix(text, argon2iPrefix) {
		h.prefix = argon2iPrefix
	}
	rest, ok := strings.CutPrefix(text, h.prefix)
	parts := strings.Split(rest, "$")
	if !ok || len(parts) != 3 {
		return phc{}, ErrMalformedHash
	}
	costs := strings.Split(parts[0], ",")
	if len(costs) != 3 {
		return phc{}, ErrMalformedHash
	}
	var numbers [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], name)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			return phc{}, ErrMalformedHash
		}
		numbers[i] = n
	}
	if numbers[2] > maxParallelism {
		return phc{}, ErrMalformedHash
	}
	h.params = Params{MemoryKiB: uint32(numbers[0]), Iterations: uint32(numbers[1]), Parallelism: uint8(numbers[2])}
	var saltErr, tagErr error
	h.salt, saltErr = phcEncoding.DecodeString(parts[1])
	h.tag, tagErr = phcEncoding.DecodeString(parts[2])
	if h.params.check() != nil || saltErr != nil || tagErr != nil ||
		len(h.salt) < 8 || len(h.salt) > maxBytes || len(h.tag) < 16 || len(h.tag) > maxBytes || h.String() != text {
		return phc{}, ErrMalformedHash
	}
	return h, nil
}

// matches is for hashes of other systems, which may be of argon2i.
func (h phc) matches(password string) bool {
	hash := argon2.IDKey
	if h.prefix == argon2iPrefix {
		hash = argon2.Key
	}
	tag := hash([]byte(password), h.salt, h.params.Iterations, h.params.MemoryKiB, h.params.Parallelism, uint32(len(h.tag)))
	return subtle.ConstantTimeCompare(tag, h.tag) == 1
}
