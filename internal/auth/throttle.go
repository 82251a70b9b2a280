package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
)

// ThrottledError refuses a guess that nobody looks at, for the guesses before it.
type ThrottledError struct {
	RetryAfter time.Duration // positive; of a lock as long as the longest wait, so that it looks like one
}

func (e *ThrottledError) Error() string { return "too many guesses" }

// GuessLimits are the operator's share of the limits on guesses; those of an account are rules. A zero
// Bucket limits nothing.
type GuessLimits struct {
	PerNetwork    account.Bucket // of all guesses at names from one network
	Overall       account.Bucket // of all guesses at names, and registrations
	Registrations account.Bucket // from one network
}

// attempt is a guess that is charged and not yet judged.
type attempt struct {
	reservation store.Reservation
	forgiven    [][32]byte // rows that begin anew too if it is right
	kind        audit.Kind // of a refusal
	typed       string     // the name, where that is guessed at
	user        uuid.NullUUID
}

// refusal is an ErrInvalidCredentials, and what the audit trail is told of it.
type refusal struct {
	why  string
	user uuid.NullUUID // not valid where nobody has the name
}

func (r *refusal) Error() string { return ErrInvalidCredentials.Error() + ": " + r.why }
func (r *refusal) Unwrap() error { return ErrInvalidCredentials }

// guessKey is the key of the row in which one thing of a scope is counted. Who reads the database learns from it no
// address and no name that nobody has, which may be a password.
func (s *Service) guessKey(scope account.Scope, subject string) (key [sha256.Size]byte) {
	mac := hmac.New(sha256.New, s.config.GuessKey)
	mac.Write([]byte(scope))
	mac.Write([]byte{0})
	mac.Write([]byte(subject))
	return [sha256.Size]byte(mac.Sum(nil))
}

// throughBuckets are the charges that depend on where a guess comes from. Where nobody knows, as behind a
// proxy that does not say, the network's is left out: a mistake of an operator locks nobody out.
func (s *Service) throughBuckets(caller Caller, scope account.Scope, perNetwork account.Bucket) (charges []store.Charge) {
	if network := family.Network(caller.Address); network.IsValid() && perNetwork.Limits() {
		charges = append(charges, store.Charge{Key: s.guessKey(scope, network.String()), Scope: scope, Bucket: perNetwork})
	}
	if overall := s.config.Guesses.Overall; overall.Limits() {
		charges = append(charges, store.Charge{Key: s.guessKey(account.ScopeOverall, ""), Scope: account.ScopeOverall, Bucket: overall})
	}
	return charges
}

// reserveLogin charges a login as if it had failed. On a device that its user has logged in on before that
// is the device's own account, so that strangers cannot lock the owner out; once that is used up the
// device is a stranger's until a login succeeds. The error is a *ThrottledError if the guess is not let in.
func (s *Service) reserveLogin(ctx context.Context, caller Caller, typed string, device knownDevice) (attempt, error) {
	a := attempt{kind: audit.LoginRefused, typed: typed}
	whose, subject := store.Guessed{}, "typed\x00"+typed
	if name, err := account.ParseUsername(typed); err == nil {
		whose.NameKey, subject = name.Key(), "name\x00"+name.Key()
	}
	if device.known {
		key := s.guessKey(account.ScopeDevice, string(device.id[:]))
		reservation, err := s.store.Reserve(ctx, whose, []store.Charge{{Key: key, Scope: account.ScopeDevice, Streak: account.DeviceStreak()}})
		var usedUp *store.ThrottledError
		if !errors.As(err, &usedUp) {
			a.reservation = reservation
			return a, err
		}
		a.forgiven = [][32]byte{key}
	}
	charges := append([]store.Charge{
		{Key: s.guessKey(account.ScopeName, subject), Scope: account.ScopeName, Streak: account.StrangersStreak()},
	}, s.throughBuckets(caller, account.ScopeNetwork, s.config.Guesses.PerNetwork)...)
	return s.reserve(ctx, caller, a, whose, charges)
}

func (s *Service) reserve(ctx context.Context, caller Caller, a attempt, whose store.Guessed, charges []store.Charge) (attempt, error) {
	if len(charges) == 0 {
		return a, nil
	}
	reservation, err := s.store.Reserve(ctx, whose, charges)
	var throttled *store.ThrottledError
	if !errors.As(err, &throttled) {
		a.reservation = reservation
		return a, err
	}
	if throttled.IsNews {
		if err := s.tellThrottling(ctx, caller, a, throttled); err != nil {
			return attempt{}, err
		}
	}
	return attempt{}, &ThrottledError{RetryAfter: min(throttled.Wait, account.LongestWait)}
}

// settle closes an attempt by its outcome and returns that. A wrong guess stays charged and is told of; a
// right one gives the charge back, and so does one that was never evaluated because the server or the
// client had no time for it.
func (s *Service) settle(ctx context.Context, caller Caller, a attempt, outcome error) error {
	var refused *refusal
	if errors.As(outcome, &refused) {
		if err := s.tellRefusal(ctx, caller, a, refused); err != nil {
			return err
		}
		return ErrInvalidCredentials
	}
	s.giveBack(ctx, a, outcome == nil)
	return outcome
}

// giveBack outlives a client that hung up, but not the request's deadline. What it cannot give back stays
// charged, which errs on the safe side.
func (s *Service) giveBack(ctx context.Context, a attempt, right bool) {
	const most = time.Second
	if a.reservation.Empty() {
		return
	}
	limit := most
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(most, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	var forgiven [][32]byte
	if right {
		forgiven = a.forgiven
	}
	if err := s.store.Settle(ctx, a.reservation, right, forgiven...); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "a guess that was not wrong stays charged", slog.Any("error", err))
	}
}

// tellRefusal puts the first refusal in a minute into the audit trail, with the number of those since the
// one before.
func (s *Service) tellRefusal(ctx context.Context, caller Caller, a attempt, refused *refusal) error {
	if !a.reservation.RefusalIsNews() {
		return nil
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		count, first, err := tx.TellRefusals(ctx, a.reservation)
		if err != nil || !first {
			return err
		}
		detail := map[string]any{"count": count}
		return j.add(ctx, s.about(a, audit.Event{Kind: a.kind, UserID: refused.user, Reason: refused.why, Detail: detail}))
	})
}

// tellThrottling does the same for guesses that were not let in; the reason is what kept them out. Whether
// anybody has the name is looked up in either case.
func (s *Service) tellThrottling(ctx context.Context, caller Caller, a attempt, throttled *store.ThrottledError) error {
	user := a.user
	if !user.Valid && a.typed != "" {
		found, err := s.findUser(ctx, a.typed)
		switch {
		case err == nil:
			user = someID(found.ID)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		failures, first, err := tx.TellThrottling(ctx, throttled.Charge.Key)
		if err != nil || !first {
			return err
		}
		detail := map[string]any{}
		if failures > 0 {
			detail["failures"] = failures
		}
		return j.add(ctx, s.about(a, audit.Event{Kind: audit.LoginThrottled, UserID: user, Reason: string(throttled.Charge.Scope), Detail: detail}))
	})
}

// about tells of a name that belongs to no user, and may be a password, only by a short keyed hash.
func (s *Service) about(a attempt, e audit.Event) audit.Event {
	if !e.UserID.Valid && a.typed != "" {
		e.Detail["name_tag"] = audit.NameTag(s.config.NameKey, a.typed)
	}
	return e
}

// reserveRegistration charges an attempt to register, which may guess at names that are taken.
func (s *Service) reserveRegistration(ctx context.Context, caller Caller) (attempt, error) {
	charges := s.throughBuckets(caller, account.ScopeRegistrations, s.config.Guesses.Registrations)
	return s.reserve(ctx, caller, attempt{}, store.Guessed{}, charges)
}

// settleRegistration gives the charge back if that cost next to nothing and no name was found to be taken. What
// is wrong with a password takes a while to find out.
func (s *Service) settleRegistration(ctx context.Context, a attempt, outcome error) {
	var invalid *account.InvalidError
	if errors.As(outcome, &invalid) && invalid.Field != "password" || errors.Is(outcome, ErrUnavailable) || errors.Is(outcome, ErrBusy) {
		s.giveBack(ctx, a, false)
	}
}

// PurgeGuesses deletes what is counted of guesses and of no use any more.
func (s *Service) PurgeGuesses(ctx context.Context) error {
	var longest time.Duration
	for _, bucket := range []account.Bucket{s.config.Guesses.PerNetwork, s.config.Guesses.Overall, s.config.Guesses.Registrations} {
		if bucket.Limits() {
			longest = max(longest, bucket.Span())
		}
	}
	return s.store.PurgeThrottle(ctx, longest)
}
