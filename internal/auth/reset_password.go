package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/token"
)

// ResetLink lets whoever has it choose a user's password, once.
type ResetLink struct {
	URL       ResetURL
	ExpiresAt time.Time
	User      account.User
}

// ResetURL is a link with a reset token in it. It prints as a placeholder; only Reveal gives it away.
type ResetURL struct{ text string }

// Reveal returns the link as it is handed to the user.
func (u ResetURL) Reveal() string { return u.text }

const redactedURL = "[redacted reset link]"

// Format redacts under every verb.
func (ResetURL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redactedURL) }

// LogValue redacts in logs.
func (ResetURL) LogValue() slog.Value { return slog.StringValue(redactedURL) }

// MarshalText redacts in JSON and other text formats.
func (ResetURL) MarshalText() ([]byte, error) { return []byte(redactedURL), nil }

// MakeResetLink makes a link for a user, good for an hour and for one new password. An earlier link of the
// user's is void from then on. ErrUserNotFound if nobody has the name or id.
func (s *Service) MakeResetLink(ctx context.Context, caller Caller, nameOrID string) (ResetLink, error) {
	const lasts = time.Hour
	if s.config.PublicURL == "" {
		return ResetLink{}, errors.New("make reset link: PUBLIC_URL is not known here")
	}
	reset := token.NewResetToken()
	link := ResetLink{URL: ResetURL{s.config.PublicURL + "/reset?token=" + reset.Reveal()}}
	err := s.changeUser(ctx, caller, nameOrID, func(ctx context.Context, tx *store.Tx, j *journal, user account.User) (err error) {
		link.User = user
		if link.ExpiresAt, err = tx.PutReset(ctx, user.ID, reset.Hash(), lasts, caller.Actor); err != nil {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.ResetLinkMade, UserID: someID(user.ID)})
	})
	if err != nil {
		return ResetLink{}, err
	}
	return link, nil
}

// ResetPassword uses a reset link: the user has another password, and all families end. Of all who use one
// link a single one succeeds. A disabled user stays disabled. Garbage costs no hashing. Errors:
// ErrInvalidResetToken for every token that is not good; *account.InvalidError for a password that will not do, which
// leaves the link as it was.
func (s *Service) ResetPassword(ctx context.Context, caller Caller, presented, newPassword string) error {
	reset, ok := token.ParseResetToken(presented)
	if !ok {
		return ErrInvalidResetToken
	}
	user, err := s.store.UserOfReset(ctx, reset.Hash())
	if errors.Is(err, store.ErrNotFound) {
		return ErrInvalidResetToken
	}
	if err != nil {
		return err
	}
	hash, err := s.hashNewPassword(ctx, user, newPassword)
	if err != nil {
		return err
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		if _, err := tx.LockUser(ctx, user.ID); err != nil {
			return err
		}
		// A deleted user's link is gone with it.
		used, err := tx.UseReset(ctx, user.ID, reset.Hash())
		if err != nil {
			return err
		}
		if !used {
			return ErrInvalidResetToken
		}
		return s.replacePassword(ctx, tx, j, user.ID, hash, passwordChange{
			kind: audit.PasswordReset, reason: family.ReasonPasswordReset, by: audit.ByUser(user.ID),
		})
	})
}
