package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/password"
	"kindred/internal/store"
	"kindred/internal/token"
)

// LoginRequest carries what the user typed.
type LoginRequest struct {
	Username    string
	Password    string
	Client      ClientCredentials
	DeviceToken string // of an earlier login on the same device; empty: none
}

// errStale: between the check of the password and the user's lock the hash changed.
var errStale = errors.New("password hash changed meanwhile")

// Login starts a family. The error is ErrInvalidCredentials for an unknown name, a wrong password
// and a disabled user alike, and each of them costs the same hashing (OWASP ASVS 5.0 §6.3.8) and the same
// statements. It is a *ThrottledError, without any hashing, for whoever has guessed too often, whether or
// not anybody has the name; and ErrInvalidClient, before any password is looked at, if the client is not
// to be believed.
func (s *Service) Login(ctx context.Context, caller Caller, r LoginRequest) (Tokens, error) {
	client, err := s.client(ctx, r.Client)
	if err != nil {
		return Tokens{}, err
	}
	if err := s.canSign(ctx); err != nil {
		return Tokens{}, err
	}
	pass, err := account.ParsePassword(r.Password)
	if err != nil {
		// No user can have such a password, so that it guesses nothing: no name is looked up, nothing counted.
		return Tokens{}, ErrInvalidCredentials
	}
	claimed := s.claimedDevice(r.DeviceToken)
	line := password.Strangers
	if claimed != nil {
		line = password.Known
	}
	leave, err := s.hasher.Admit(line)
	if err != nil {
		return Tokens{}, unavailable(err)
	}
	defer leave()
	device, err := s.device(ctx, r.Username, claimed)
	if err != nil {
		return Tokens{}, err
	}
	guess, err := s.reserveLogin(ctx, caller, r.Username, device)
	if err != nil {
		return Tokens{}, err
	}
	tokens, err := s.logIn(ctx, caller, r.Username, pass, client.ID, device)
	return tokens, s.settle(ctx, caller, guess, err)
}

// logIn is a login that is charged. The error is a *refusal if the guess was wrong.
func (s *Service) logIn(ctx context.Context, caller Caller, username string, pass account.Password, clientID string, device knownDevice) (Tokens, error) {
	const attempts = 2 // a hash that changes twice during one login waits for the next
	for range attempts {
		user, matched, err := s.verify(ctx, username, pass)
		if err != nil {
			return Tokens{}, err
		}
		tokens, err := s.startFamily(ctx, caller, user, clientID, device)
		if errors.Is(err, errStale) {
			continue
		}
		if errors.Is(err, ErrInvalidCredentials) {
			return Tokens{}, &refusal{why: "disabled", user: someID(user.ID)}
		}
		if err != nil {
			return Tokens{}, err
		}
		s.rehash(ctx, caller, user, matched)
		return tokens, nil
	}
	return Tokens{}, fmt.Errorf("log in: %w: %w", ErrUnavailable, errStale)
}

// verified is a password that matched.
type verified struct {
	password account.Password
	rehash   bool // its hash is not what would be made today
}

// verify finds the user and checks the password, with the same work whether or not there is one. The error
// is a *refusal if it does not match or the user is disabled.
func (s *Service) verify(ctx context.Context, username string, pass account.Password) (account.User, verified, error) {
	refused := func(err error) (account.User, verified, error) { return account.User{}, verified{}, err }
	user, err := s.findUser(ctx, username)
	if errors.Is(err, store.ErrNotFound) {
		if err := s.hasher.VerifyAbsent(ctx, pass.Reveal()); err != nil {
			return refused(unavailable(err))
		}
		return refused(&refusal{why: "unknown_user"})
	}
	if err != nil {
		return refused(err)
	}
	result, err := s.hasher.Verify(ctx, user.PasswordHash, pass.Reveal(), pass.Typed())
	switch {
	case err != nil:
		return refused(unavailable(err))
	case !result.Match:
		return refused(&refusal{why: "wrong_password", user: someID(user.ID)})
	case !user.Enabled():
		return refused(&refusal{why: "disabled", user: someID(user.ID)})
	}
	return user, verified{password: pass, rehash: result.Rehash}, nil
}

// findUser treats a name that nobody can have as one that nobody has.
func (s *Service) findUser(ctx context.Context, typed string) (account.User, error) {
	name, err := account.ParseUsername(typed)
	if isInvalidInput(err) {
		return account.User{}, store.ErrNotFound
	}
	if err != nil {
		return account.User{}, err
	}
	return s.store.UserByName(ctx, name)
}

// beginFamily starts a family for a user whose password was checked, under the user's lock.
func (s *Service) beginFamily(ctx context.Context, caller Caller, verified account.User, clientID string, device knownDevice, alone bool) (Tokens, error) {
	var grant store.Grant
	var refresh token.RefreshToken
	err := s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		user, err := holdForLogin(ctx, tx, verified.ID, alone)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && !user.Enabled():
			return ErrInvalidCredentials
		case err != nil:
			return err
		case user.PasswordHash != verified.PasswordHash:
			return errStale
		}
		if err := shareClient(ctx, tx, clientID); err != nil {
			return err
		}
		now, err := tx.Now(ctx) // after the locks
		if err != nil {
			return err
		}
		f, first, err := s.firstGeneration(caller, user.ID, clientID, now)
		if err != nil {
			return err
		}
		others, err := tx.StartFamily(ctx, f)
		if err != nil {
			return err
		}
		if err := s.limitSessions(ctx, tx, j, f, others, alone); err != nil {
			return err
		}
		refresh = first
		grant = store.Grant{
			FamilyID: f.ID, ClientID: f.ClientID, AuthTime: f.AuthTime, User: user,
			Now: now, AccessExpiresAt: f.AccessUntil, IdleExpiresAt: f.IdleExpiresAt,
		}
		return j.add(ctx, audit.Event{Kind: audit.LoginOK, UserID: someID(user.ID), FamilyID: someID(f.ID), ClientID: clientID})
	})
	if err != nil {
		return Tokens{}, err
	}
	tokens, err := s.tokens(grant, refresh)
	if err != nil {
		return Tokens{}, err
	}
	tokens.DeviceToken = s.deviceToken(grant, device)
	return tokens, nil
}

// shareClient keeps a client from being disabled until the family stands that is begun through it. The
// built-in one cannot be.
func shareClient(ctx context.Context, tx *store.Tx, id string) error {
	if id == family.DefaultClient {
		return nil
	}
	client, err := tx.ShareClient(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !client.Enabled() {
		return ErrInvalidClient
	}
	return err
}

// firstGeneration makes a new family and its own token as they begin at now.
func (s *Service) firstGeneration(caller Caller, userID uuid.UUID, clientID string, now time.Time) (family.Family, token.RefreshToken, error) {
	familyID, tokenID, err := twoIDs()
	if err != nil {
		return family.Family{}, token.RefreshToken{}, err
	}
	expires := now.Add(s.config.MaxLifetime)
	refresh, err := s.codec.Mint(familyID, tokenID, 0, utcDate(expires))
	if err != nil {
		return family.Family{}, token.RefreshToken{}, fmt.Errorf("mint refresh token: %w", err)
	}
	return family.Family{
		ID: familyID, UserID: userID, ClientID: clientID, CreatedAt: now, AuthTime: now,
		ExpiresAt: expires, ExpiresOn: utcDate(expires), CurrentTokenID: tokenID, CurrentHash: refresh.Hash(), RotatedAt: now,
		IdleExpiresAt:  earlier(now.Add(s.config.IdleLifetime), expires),
		AccessUntil:    earlier(now.Add(s.config.AccessLifetime), expires),
		FirstUserAgent: cleanUserAgent(caller.UserAgent), FirstAddress: caller.Address,
	}, refresh, nil
}

// rehash replaces a hash that is not what would be made today, now that the password is at hand: in
// a transaction of its own, guarded by the old hash. The login stands whatever becomes of it.
func (s *Service) rehash(ctx context.Context, caller Caller, user account.User, v verified) {
	if !v.rehash {
		return
	}
	replacement, err := s.hasher.Hash(ctx, v.password.Reveal())
	if err == nil {
		err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
			changed, err := tx.ReplacePasswordHash(ctx, user.ID, user.PasswordHash, replacement)
			if err != nil || !changed {
				return err
			}
			return j.add(ctx, audit.Event{Kind: audit.PasswordRehash, UserID: someID(user.ID)})
		})
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "password hash not renewed", slog.String("user_id", user.ID.String()), slog.Any("error", err))
	}
}

// unavailable: hashing fails when too many want to, and when the wait for a slot outlasts the request.
func unavailable(err error) error {
	switch {
	case errors.Is(err, password.ErrBusy):
		return ErrBusy
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("wait for hashing: %w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("check password: %w", err)
}

func twoIDs() (a, b uuid.UUID, err error) {
	a, errA := uuid.NewV7()
	b, errB := uuid.NewV7()
	if err := errors.Join(errA, errB); err != nil {
		return uuid.Nil, uuid.Nil, fmt.Errorf("make ids: %w", err)
	}
	return a, b, nil
}

func utcDate(t time.Time) time.Time {
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
