package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"kindred/internal/audit"
	"kindred/internal/store"
	"kindred/internal/token"
)

// keyReloadInterval: however many requests want the keys read anew, it happens no more often.
const keyReloadInterval = time.Second

// KeyError names a signing key that none of the key-encryption keys at hand opens.
type KeyError struct{ ID string }

func (e *KeyError) Error() string {
	return "signing key " + e.ID + " does not open: KEY_ENCRYPTION_KEY is not the one that it was encrypted with"
}

// keyReading orders the readings of the keys: an older one must not replace what a newer one has loaded.
type keyReading struct {
	turn  chan struct{} // holds one while somebody reads, or looks at what follows
	began time.Time
	err   error
}

func (r *keyReading) takeTurn(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *keyReading) endTurn() { <-r.turn }

// LoadKeys reads the signing keys anew, at once. Where the database has none that signs, it makes the
// first one. Keys that open are loaded even if others do not; the error is then a *KeyError. It does
// nothing where access tokens are signed with JWT_SECRET.
func (s *Service) LoadKeys(ctx context.Context) error {
	if s.keyBox == nil {
		return nil
	}
	if err := s.reading.takeTurn(ctx); err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	defer s.reading.endTurn()
	return s.readKeys(ctx)
}

// keysSince sees to it that the keys have been read after an instant, and answers as that reading did.
func (s *Service) keysSince(ctx context.Context, asked time.Time) error {
	for {
		wait, err := s.tryKeysSince(ctx, asked)
		if wait <= 0 {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryKeysSince says how long to wait where the last reading is too old, and too young to be repeated.
func (s *Service) tryKeysSince(ctx context.Context, asked time.Time) (wait time.Duration, err error) {
	if err := s.reading.takeTurn(ctx); err != nil {
		return 0, err
	}
	defer s.reading.endTurn()
	// By the clock on the wall too: the other stands still while the machine sleeps.
	if s.reading.began.After(asked) && s.reading.began.Round(0).After(asked.Round(0)) {
		return 0, s.reading.err
	}
	if wait := time.Until(s.reading.began.Add(keyReloadInterval)); wait > 0 {
		return wait, nil
	}
	// Others wait for it too: who hangs up does not end it, the deadline does.
	reading := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		reading, cancel = context.WithDeadline(reading, deadline)
		defer cancel()
	}
	return 0, s.readKeys(reading)
}

// currentKeys sees to it that the keys are as the database has had them a moment ago: the feed loads what
// changes, and where it is late they are read when they are needed.
func (s *Service) currentKeys(ctx context.Context) error {
	if s.keyBox == nil || s.blacklist.Fresh() {
		return nil
	}
	return s.keysSince(ctx, time.Now().Add(-keyReloadInterval))
}

// readKeys does so for whoever has the turn.
func (s *Service) readKeys(ctx context.Context) (err error) {
	const limit = 10 * time.Second // of a connection that says nothing for ever
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s.reading.began = time.Now()
	defer func() { s.reading.err = err }()
	keys, now, err := s.store.SigningKeys(ctx)
	if err == nil && !anySigns(keys, now) {
		if err = s.firstKey(ctx); err == nil {
			keys, now, err = s.store.SigningKeys(ctx)
		}
	}
	if err != nil {
		return err
	}
	opened, err := s.openKeys(keys, now)
	return errors.Join(err, s.keys.Replace(opened))
}

// firstKey makes a key that signs at once, unless another replica was faster: nobody can know an older one.
func (s *Service) firstKey(ctx context.Context) error {
	first, err := s.newKey()
	if err != nil {
		return err
	}
	return s.changeKeys(ctx, Caller{Actor: audit.BySystem}, func(ctx context.Context, tx *store.Tx, j *journal, keys []store.SigningKey, now time.Time) error {
		if anySigns(keys, now) {
			return nil
		}
		return first.publish(ctx, tx, j, 0)
	})
}

// openKeys decrypts the keys that verify. Those that open are returned even if others do not: the error,
// a *KeyError, then names the first of these.
func (s *Service) openKeys(keys []store.SigningKey, now time.Time) (opened []token.SigningKey, err error) {
	signs := true
	for i, k := range describeKeys(keys, now) {
		if !k.State.Verifies() {
			continue
		}
		key, openErr := s.keyBox.Open(k.ID, token.Algorithm(k.Algorithm), keys[i].PrivateKey)
		if openErr != nil {
			err = cmp.Or[error](err, &KeyError{ID: k.ID})
			signs = signs && k.State != KeySigning // no later key takes its place before its time
			continue
		}
		key.SignFrom, key.Retiring = k.SignFrom, k.State == KeyRetiring || !signs
		opened = append(opened, key)
	}
	return opened, err
}

// KeySet returns the public keys as a JSON Web Key Set (RFC 7517 §5). ErrUnavailable while none were loaded,
// or not all: whoever asked would keep a set that lacks one. current is false where the keys could not be
// read lately, so that one of them may have been revoked: nobody should keep that set.
func (s *Service) KeySet(ctx context.Context) (set []byte, current bool, err error) {
	err = s.currentKeys(ctx)
	var missing *KeyError
	if set := s.keys.JWKS(); set != nil && !errors.As(err, &missing) {
		return set, err == nil, nil
	}
	return nil, false, fmt.Errorf("read key set: %w: %w", ErrUnavailable, err)
}

// canSign is asked before anything is written that an access token would have to follow. Keys that could
// not be read anew sign all the same: whether anything is granted is the database's word.
func (s *Service) canSign(ctx context.Context) error {
	if err := s.currentKeys(ctx); !s.issuer.Ready() {
		return fmt.Errorf("sign access tokens: %w: %w", ErrUnavailable, errors.Join(token.ErrNoSigningKey, err))
	}
	return nil
}

// verifyAccess checks an access token's signature and claims.
func (s *Service) verifyAccess(ctx context.Context, accessToken string) (token.AccessClaims, error) {
	return s.withKnownKey(ctx, accessToken, s.verifier.Verify)
}

// withKnownKey verifies a token that may name a key which was not loaded, a neighbour's that is a moment
// old: it then waits for the feed's next reading or, where the feed is late, for the keys to be read.
func (s *Service) withKnownKey(ctx context.Context, accessToken string, verify func(string) (token.AccessClaims, error)) (token.AccessClaims, error) {
	asked := time.Now()
	claims, err := verify(accessToken)
	if !errors.Is(err, token.ErrUnknownKey) {
		return claims, err
	}
	if s.blacklist.Fresh() {
		err = s.blacklist.Next(ctx)
	} else {
		err = s.keysSince(ctx, asked)
	}
	if err != nil {
		return token.AccessClaims{}, fmt.Errorf("load signing keys: %w: %w", ErrUnavailable, err)
	}
	return verify(accessToken)
}
