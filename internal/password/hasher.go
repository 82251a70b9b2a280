// Package password hashes passwords with argon2id, verifies those hashes and the ones that other systems
// leave, and sees to it that no more than a few are hashed at once: each takes a core and 19 MiB for
// 40 ms, which makes a flood of logins a memory bomb without a gate. It never keeps or prints a password.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
)

// Config of a Hasher.
type Config struct {
	Params Params
	Slots  int // hashes at once; 0 is the number of cores
}

// Hasher makes and verifies hashes. It is safe for concurrent use.
type Hasher struct {
	params Params
	gate   *gate
	absent string // the hash of a password that nobody has

	work   atomic.Int64
	derive func(password string, params Params, salt []byte, length int) []byte
}

// New makes a Hasher. The error names a cost that is out of bounds.
func New(config Config) (*Hasher, error) {
	if err := config.Params.check(); err != nil {
		return nil, fmt.Errorf("argon2id parameters: %w", err)
	}
	if config.Slots <= 0 {
		config.Slots = runtime.GOMAXPROCS(0)
	}
	// Nobody hashes to a random tag, so that it need not be derived.
	absent := phc{prefix: argon2idPrefix, params: config.Params, salt: make([]byte, saltBytes), tag: make([]byte, tagBytes)}
	rand.Read(absent.salt)
	rand.Read(absent.tag)
	h := &Hasher{params: config.Params, gate: newGate(config.Slots), absent: absent.String()}
	h.derive = h.count(derive)
	return h, nil
}

// Line is where somebody stands who wants to hash. Those of one line do not crowd out those of the other.
type Line int

const (
	Strangers Line = iota
	Known          // who have something to show that not everybody has
)

// Admit takes a place of a line among those that hash or wait to, for who has other work to do before: in a flood what
// comes beyond is refused with ErrBusy at once, and costs nothing else. leave gives the place back.
func (h *Hasher) Admit(line Line) (leave func(), err error) { return h.gate.admit(line) }

// Hash makes a PHC string with a salt of its own. It waits for a slot: the error is ErrBusy, or that of
// ctx, which ends the wait.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.gate.enter(ctx); err != nil {
		return "", err
	}
	defer h.gate.leave(h.params.MemoryKiB)
	made := phc{prefix: argon2idPrefix, params: h.params, salt: make([]byte, saltBytes)}
	rand.Read(made.salt)
	made.tag = h.derive(password, h.params, made.salt, tagBytes)
	return made.String(), nil
}

// Result of a verification.
type Result struct {
	Match  bool
	Rehash bool // it matches, and Hash would make another kind of hash today
}

// Verify tells whether the password has this hash: argon2id, or one that Check accepts. Other systems may
// have hashed another spelling of the same text: further ones are tried too, on their hashes only. It
// waits for a slot: the error is ErrBusy, or that of ctx, which ends the wait. ErrMalformedHash for a hash
// that cannot be read.
func (h *Hasher) Verify(ctx context.Context, hash, password string, spellings ...string) (Result, error) {
	if err := h.gate.enter(ctx); err != nil {
		return Result{}, err
	}
	defer h.gate.leave(h.params.MemoryKiB)
	if strings.HasPrefix(hash, argon2idPrefix) {
		return h.verifyOurs(hash, password)
	}
	stored, err := parseForeign(hash)
	if err != nil {
		return Result{}, err
	}
	match := stored.matches(password)
	for _, spelling := range spellings {
		match = match || spelling != password && stored.matches(spelling)
	}
	return Result{Match: match, Rehash: match}, nil
}

func (h *Hasher) verifyOurs(hash, password string) (Result, error) {
	stored, err := parsePHC(hash)
	if err != nil {
		return Result{}, err
	}
	tag := h.derive(password, stored.params, stored.salt, len(stored.tag))
	match := subtle.ConstantTimeCompare(tag, stored.tag) == 1
	current := stored.params == h.params && len(stored.salt) == saltBytes && len(stored.tag) == tagBytes
	return Result{Match: match, Rehash: match && !current}, nil
}

// VerifyAbsent does the work of a Verify that does not match, for a user who does not exist: the time
// that a refusal takes must not tell which names there are.
func (h *Hasher) VerifyAbsent(ctx context.Context, password string) error {
	_, err := h.Verify(ctx, h.absent, password)
	return err
}
