package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"kindred/internal/audit"
	"kindred/internal/store"
	"kindred/internal/token"
)

var (
	// ErrKeyNotFound: no signing key has that id, or it has ended.
	ErrKeyNotFound = errors.New("signing key not found")
	// ErrKeyInUse: the key signs or is to sign, so that it cannot be retired.
	ErrKeyInUse = errors.New("signing key is in use")
	// ErrNoKeyBox: access tokens are signed with JWT_SECRET, and there are no keys to care for.
	ErrNoKeyBox = errors.New("no key-encryption key")
)

// JWKSMaxAge is how long verifiers may keep the key set without asking again.
const JWKSMaxAge = 5 * time.Minute

// publication is how long a key is published before it signs: nobody who keeps the key set for its
// max-age, and no replica whose feed is as late as it may be, then meets a token of an unknown key.
const publication = JWKSMaxAge + 2*time.Second + time.Minute

// KeyState is where a signing key stands.
type KeyState string

const (
	KeyPublished KeyState = "published" // in the key set, signs later
	KeySigning   KeyState = "signing"
	KeyRetiring  KeyState = "retiring" // has a successor, still verifies
	KeyRetired   KeyState = "retired"  // gone: verifies no more
	KeyRevoked   KeyState = "revoked"  // gone before its time: somebody else may have it
)

// Verifies tells whether tokens of a key in that state are accepted, and the key is published.
func (s KeyState) Verifies() bool { return s != KeyRetired && s != KeyRevoked }

// SigningKeyInfo is a signing key as operators see it, without its private part.
type SigningKeyInfo struct {
	ID          string
	Algorithm   string
	State       KeyState
	PublishedAt time.Time
	SignFrom    time.Time
	VerifyUntil time.Time // of a key that is retiring; else zero
}

// describeKeys says where each key stands at now. keys are in the order in which they sign. Once another
// key has signed after it, a key never signs again, whatever becomes of its successor.
func describeKeys(keys []store.SigningKey, now time.Time) []SigningKeyInfo {
	list := make([]SigningKeyInfo, len(keys))
	var verifyUntil time.Time // of the keys before the one that is looked at; zero while none after them has signed
	for i, k := range slices.Backward(keys) {
		list[i] = SigningKeyInfo{ID: k.ID, Algorithm: k.Algorithm, PublishedAt: k.PublishedAt, SignFrom: k.SignFrom}
		switch {
		case k.RevokedAt != nil:
			list[i].State = KeyRevoked
		case k.RetiredAt != nil:
			list[i].State = KeyRetired
		case k.SignFrom.After(now):
			list[i].State = KeyPublished
		case verifyUntil.IsZero():
			list[i].State = KeySigning
		case now.Before(verifyUntil):
			list[i].State, list[i].VerifyUntil = KeyRetiring, verifyUntil
		default:
			list[i].State = KeyRetired
		}
		hasSigned := !k.SignFrom.After(now) && (k.RevokedAt == nil || k.RevokedAt.After(k.SignFrom))
		if hasSigned {
			verifyUntil = k.SignFrom.Add(store.KeyAfterlife)
		}
	}
	return list
}

func anySigns(keys []store.SigningKey, now time.Time) bool {
	return slices.ContainsFunc(describeKeys(keys, now), func(k SigningKeyInfo) bool { return k.State == KeySigning })
}

// stateOf finds a key that verifies. ErrKeyNotFound if there is none of that id.
func stateOf(id string, keys []store.SigningKey, now time.Time) (KeyState, error) {
	for _, k := range describeKeys(keys, now) {
		if k.ID == id && k.State.Verifies() {
			return k.State, nil
		}
	}
	return "", ErrKeyNotFound
}

// SigningKeys lists all keys in the order in which they sign.
func (s *Service) SigningKeys(ctx context.Context) ([]SigningKeyInfo, error) {
	keys, now, err := s.store.SigningKeys(ctx)
	return describeKeys(keys, now), err
}

// RotateKey publishes a key that takes over once every verifier can know it, and returns its id. A
// *KeyError if the key-encryption key is not the one of the keys that stand: no replica could open it.
func (s *Service) RotateKey(ctx context.Context, caller Caller) (id string, err error) {
	successor, err := s.newKey()
	if err != nil {
		return "", err
	}
	err = s.changeKeys(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal, keys []store.SigningKey, now time.Time) error {
		if _, err := s.openKeys(keys, now); err != nil {
			return err
		}
		wait := publication
		if !anySigns(keys, now) {
			wait = 0
		}
		return successor.publish(ctx, tx, j, wait)
	})
	return successor.id, err
}

// RetireKey ends a key that has a successor before its time: access tokens that it signed and that still
// live are refused, and clients refresh. ErrKeyInUse for a key that signs or is to sign.
func (s *Service) RetireKey(ctx context.Context, caller Caller, id string) error {
	return s.changeKeys(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal, keys []store.SigningKey, now time.Time) error {
		state, err := stateOf(id, keys, now)
		if err != nil {
			return err
		}
		if state != KeyRetiring {
			return ErrKeyInUse
		}
		if changed, err := tx.RetireSigningKey(ctx, id); err != nil || !changed {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.KeyRetired, Detail: map[string]any{"kid": id}})
	})
}

// RevokeKey ends a key that somebody else may have, on every replica at once. If it was signing, a
// successor is published that signs at once, and its id returned: verifiers fetch it when they meet it.
// A *KeyError if no replica could open that successor.
func (s *Service) RevokeKey(ctx context.Context, caller Caller, id string) (successorID string, err error) {
	successor, err := s.newKey()
	if err != nil {
		return "", err
	}
	err = s.changeKeys(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal, keys []store.SigningKey, now time.Time) error {
		successorID = ""
		state, err := stateOf(id, keys, now)
		if err != nil {
			return err
		}
		if changed, err := tx.RevokeSigningKey(ctx, id); err != nil || !changed {
			return err
		}
		if err := j.add(ctx, audit.Event{Kind: audit.KeyRevoked, Detail: map[string]any{"kid": id}}); err != nil {
			return err
		}
		if state != KeySigning {
			return nil
		}
		if _, err := s.openKeys(keys, now); err != nil {
			return err
		}
		successorID = successor.id
		return successor.publish(ctx, tx, j, 0)
	})
	return successorID, err
}

// ReencryptKeys encrypts the private keys of all that verify with the current key-encryption key and
// returns how many. Every replica must have that key by then, as the current or as a previous one.
func (s *Service) ReencryptKeys(ctx context.Context, caller Caller) (count int, err error) {
	if s.keyBox == nil {
		return 0, ErrNoKeyBox
	}
	err = s.changeKeys(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal, keys []store.SigningKey, now time.Time) error {
		opened, err := s.openKeys(keys, now)
		if err != nil {
			return err
		}
		count = len(opened)
		for _, key := range opened {
			sealed, err := s.keyBox.Seal(key)
			if err != nil {
				return err
			}
			if err := tx.ReencryptSigningKey(ctx, key.ID, sealed); err != nil {
				return err
			}
		}
		return j.add(ctx, audit.Event{Kind: audit.KeysReencrypted, Detail: map[string]any{"keys": count}})
	})
	return count, err
}

// changeKeys runs fn on all keys, while nobody else changes one.
func (s *Service) changeKeys(ctx context.Context, caller Caller, fn func(context.Context, *store.Tx, *journal, []store.SigningKey, time.Time) error) error {
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		keys, err := tx.LockSigningKeys(ctx)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx) // after the lock
		if err != nil {
			return err
		}
		return fn(ctx, tx, j, keys, now)
	})
}

// sealedKey is a new signing key, encrypted.
type sealedKey struct {
	id        string
	algorithm token.Algorithm
	sealed    []byte
}

// newKey makes a key, before the others are locked: with RSA that takes its time. ErrNoKeyBox if nothing
// is there to encrypt it with.
func (s *Service) newKey() (sealedKey, error) {
	if s.keyBox == nil {
		return sealedKey{}, ErrNoKeyBox
	}
	key, err := token.GenerateKey(s.config.SigningAlgorithm)
	if err != nil {
		return sealedKey{}, err
	}
	sealed, err := s.keyBox.Seal(key)
	return sealedKey{key.ID, key.Algorithm, sealed}, err
}

// publish lets the key sign after a wait.
func (k sealedKey) publish(ctx context.Context, tx *store.Tx, j *journal, wait time.Duration) error {
	if err := tx.PublishSigningKey(ctx, k.id, string(k.algorithm), k.sealed, wait); err != nil {
		return err
	}
	detail := map[string]any{"kid": k.id, "algorithm": string(k.algorithm), "signs_after_seconds": int(wait.Seconds())}
	return j.add(ctx, audit.Event{Kind: audit.KeyPublished, Detail: detail})
}
