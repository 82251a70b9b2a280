package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// keyLifetime is how long a key verifies after its successor began to sign: as long as the last token
// that it signed may be believed.
const keyLifetime = store.MaxAccessLifetime + 2*time.Minute

// KeyState is where a signing key stands.
type KeyState string

const (
	KeyPublished KeyState = "published" // in the key set, signs later
	KeySigning   KeyState = "signing"
	KeyRetiring  KeyState = "retiring" // has a successor, still verifies
	KeyRetired   KeyState = "retired"  // verifies no more
	KeyRevoked   KeyState = "revoked"
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

// describeKeys says where each key stands at now. keys are in the order in which they sign.
func describeKeys(keys []store.SigningKey, now time.Time) []SigningKeyInfo {
	list := make([]SigningKeyInfo, len(keys))
	var successor *store.SigningKey // the next that signs by now
	for i := len(keys) - 1; i >= 0; i-- {
		k := keys[i]
		list[i] = SigningKeyInfo{ID: k.ID, Algorithm: k.Algorithm, PublishedAt: k.PublishedAt, SignFrom: k.SignFrom}
		switch {
		case k.RevokedAt != nil:
			list[i].State = KeyRevoked
			continue
		case k.RetiredAt != nil:
			list[i].State = KeyRetired
			continue
		case k.SignFrom.After(now):
			list[i].State = KeyPublished
			continue
		case successor == nil:
			list[i].State = KeySigning
		case now.Before(successor.SignFrom.Add(keyLifetime)):
			list[i].State, list[i].VerifyUntil = KeyRetiring, successor.SignFrom.Add(keyLifetime)
		default:
			list[i].State = KeyRetired
		}
		successor = &keys[i]
	}
	return list
}

// LoadKeys reads the signing keys anew. Where the database has none that can sign, it makes the first
// one, which signs at once: there is nobody who could know an older. It is nil without doing anything
// where access tokens are signed with JWT_SECRET.
func (s *Service) LoadKeys(ctx context.Context) error {
	if s.keyBox == nil {
		return nil
	}
	keys, now, err := s.store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if !anySigns(keys, now) {
		if err := s.firstKey(ctx); err != nil {
			return err
		}
		if keys, now, err = s.store.SigningKeys(ctx); err != nil {
			return err
		}
	}
	var opened []token.SigningKey
	for i, k := range describeKeys(keys, now) {
		if !k.State.Verifies() {
			continue
		}
		key, err := s.keyBox.Open(k.ID, token.Algorithm(k.Algorithm), keys[i].PrivateKey)
		if err != nil {
			return fmt.Errorf("open signing key %s (is KEY_ENCRYPTION_KEY the one it was encrypted with?): %w", k.ID, err)
		}
		key.SignFrom = k.SignFrom
		opened = append(opened, key)
	}
	return s.keys.Replace(opened)
}

func anySigns(keys []store.SigningKey, now time.Time) bool {
	for _, k := range describeKeys(keys, now) {
		if k.State == KeySigning {
			return true
		}
	}
	return false
}

// firstKey makes a key that signs at once, unless another replica was faster.
func (s *Service) firstKey(ctx context.Context) error {
	return s.change(ctx, Caller{Actor: audit.BySystem}, func(ctx context.Context, tx *store.Tx, j *journal) error {
		keys, err := tx.LockSigningKeys(ctx)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil || anySigns(keys, now) {
			return err
		}
		_, err = s.publishKey(ctx, tx, j, 0)
		return err
	})
}

func (s *Service) publishKey(ctx context.Context, tx *store.Tx, j *journal, wait time.Duration) (id string, err error) {
	key, err := token.GenerateKey(s.config.SigningAlgorithm)
	if err != nil {
		return "", err
	}
	sealed, err := s.keyBox.Seal(key)
	if err != nil {
		return "", err
	}
	if err := tx.PublishSigningKey(ctx, key.ID, string(key.Algorithm), sealed, wait); err != nil {
		return "", err
	}
	detail := map[string]any{"kid": key.ID, "algorithm": string(key.Algorithm), "signs_after_seconds": int(wait.Seconds())}
	return key.ID, j.add(ctx, audit.Event{Kind: audit.KeyPublished, Detail: detail})
}

// SigningKeys lists all keys in the order in which they sign.
func (s *Service) SigningKeys(ctx context.Context) ([]SigningKeyInfo, error) {
	keys, now, err := s.store.SigningKeys(ctx)
	return describeKeys(keys, now), err
}

// RotateKey publishes a key that takes over once every verifier can know it, and returns its id.
func (s *Service) RotateKey(ctx context.Context, caller Caller) (id string, err error) {
	if s.keyBox == nil {
		return "", ErrNoKeyBox
	}
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		keys, err := tx.LockSigningKeys(ctx)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		wait := publication
		if !anySigns(keys, now) {
			wait = 0
		}
		id, err = s.publishKey(ctx, tx, j, wait)
		return err
	})
	return id, err
}

// RetireKey ends a key that has a successor before its time: access tokens that it signed and that still
// live are refused, and clients refresh. ErrKeyInUse for a key that signs or is to sign.
func (s *Service) RetireKey(ctx context.Context, caller Caller, id string) error {
	return s.changeKey(ctx, caller, id, func(ctx context.Context, tx *store.Tx, j *journal, k SigningKeyInfo) error {
		if k.State != KeyRetiring {
			return ErrKeyInUse
		}
		if _, err := tx.RetireSigningKey(ctx, id); err != nil {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.KeyRetired, Detail: map[string]any{"kid": id}})
	})
}

// RevokeKey ends a key that somebody else may have, on every replica at once. If it was signing, a
// successor is published that signs at once: verifiers fetch it when they meet its id.
func (s *Service) RevokeKey(ctx context.Context, caller Caller, id string) error {
	if s.keyBox == nil {
		return ErrNoKeyBox
	}
	return s.changeKey(ctx, caller, id, func(ctx context.Context, tx *store.Tx, j *journal, k SigningKeyInfo) error {
		if _, err := tx.RevokeSigningKey(ctx, id); err != nil {
			return err
		}
		if err := j.add(ctx, audit.Event{Kind: audit.KeyRevoked, Detail: map[string]any{"kid": id}}); err != nil {
			return err
		}
		if k.State != KeySigning {
			return nil
		}
		_, err := s.publishKey(ctx, tx, j, 0)
		return err
	})
}

// changeKey runs fn on a key that verifies, while nobody else changes one. ErrKeyNotFound if there is none.
func (s *Service) changeKey(ctx context.Context, caller Caller, id string, fn func(context.Context, *store.Tx, *journal, SigningKeyInfo) error) error {
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		keys, err := tx.LockSigningKeys(ctx)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		for _, k := range describeKeys(keys, now) {
			if k.ID == id && k.State.Verifies() {
				return fn(ctx, tx, j, k)
			}
		}
		return ErrKeyNotFound
	})
}

// ReencryptKeys encrypts all private keys with the current key-encryption key and returns how many. Every
// replica must have that key by then, as the current or as a previous one.
func (s *Service) ReencryptKeys(ctx context.Context, caller Caller) (count int, err error) {
	if s.keyBox == nil {
		return 0, ErrNoKeyBox
	}
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		keys, err := tx.LockSigningKeys(ctx)
		if err != nil {
			return err
		}
		count = len(keys)
		for _, k := range keys {
			opened, err := s.keyBox.Open(k.ID, token.Algorithm(k.Algorithm), k.PrivateKey)
			if err != nil {
				return fmt.Errorf("open signing key %s: %w", k.ID, err)
			}
			sealed, err := s.keyBox.Seal(opened)
			if err != nil {
				return err
			}
			if err := tx.ReencryptSigningKey(ctx, k.ID, sealed); err != nil {
				return err
			}
		}
		return j.add(ctx, audit.Event{Kind: audit.KeysReencrypted, Detail: map[string]any{"keys": count}})
	})
	return count, err
}

// KeySet returns the public keys as a JSON Web Key Set (RFC 7517 §5). ErrUnavailable while none were loaded.
func (s *Service) KeySet() ([]byte, error) {
	if set := s.keys.JWKS(); set != nil {
		return set, nil
	}
	return nil, fmt.Errorf("read key set: %w: %w", ErrUnavailable, token.ErrNoSigningKey)
}

// verifyAccess checks an access token's signature and claims. One that names a key which was not loaded waits
// for the feed's next reading or, where the feed is late, for the keys to be read, at most once a second:
// the key may be a neighbour's that is a moment old.
func (s *Service) verifyAccess(ctx context.Context, accessToken string) (token.AccessClaims, error) {
	claims, err := s.verifier.Verify(accessToken)
	if !errors.Is(err, token.ErrUnknownKey) {
		return claims, err
	}
	if s.blacklist.Fresh() {
		err = s.blacklist.Next(ctx)
	} else {
		err = s.reloadKeys(ctx)
	}
	if err != nil {
		return token.AccessClaims{}, fmt.Errorf("load signing keys: %w: %w", ErrUnavailable, err)
	}
	return s.verifier.Verify(accessToken)
}

// reloadKeys reads the keys unless that was tried within the last second; it then answers as that did.
func (s *Service) reloadKeys(ctx context.Context) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	if time.Since(s.reloaded) >= time.Second {
		s.reloadErr = s.LoadKeys(ctx)
		s.reloaded = time.Now()
		if s.reloadErr != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "signing keys not loaded", slog.Any("error", s.reloadErr))
		}
	}
	return s.reloadErr
}
