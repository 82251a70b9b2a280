package auth

import (
	"context"
	"log/slog"

	"kindred/internal/account"
)

// choosePassword reads a password that a user of that name wants to have from now on. The error is an
// *account.InvalidError that says what would do. Whether it is known from a breach is asked last, of another
// service, and its trouble never stands in the way.
func (s *Service) choosePassword(ctx context.Context, typed string, name account.Username) (account.Password, error) {
	password, err := account.ParsePassword(typed)
	if err != nil {
		return account.Password{}, err
	}
	if err := s.config.Passwords.Check(password, name); err != nil {
		return account.Password{}, err
	}
	if s.config.Breached == nil {
		return password, nil
	}
	breached, err := s.config.Breached(ctx, password.Reveal())
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "breached passwords not looked up", slog.Any("error", err))
	}
	if breached {
		return account.Password{}, account.RefuseBreached()
	}
	return password, nil
}
