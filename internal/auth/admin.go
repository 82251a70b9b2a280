package auth

import (
	"context"
	"errors"
	"time"

	"kindred/internal/account"
	"kindred/internal/token"
)

// AuthenticateAdmin checks an access token for what only admins may do: the database says, for each
// request, whether the user is an admin now (OWASP ASVS 5.0 §8.3.2). Errors: ErrInvalidAccessToken; ErrNotAdmin;
// ErrStaleLogin where the login is older than AdminMaxAge (RFC 9470).
func (s *Service) AuthenticateAdmin(ctx context.Context, accessToken string) (Identity, error) {
	claims, err := s.verifyAccess(ctx, accessToken)
	if errors.Is(err, token.ErrInvalidAccessToken) {
		return Identity{}, ErrInvalidAccessToken
	}
	if err != nil {
		return Identity{}, err
	}
	// A token of an older version is refused there, so that the role in this one is the database's.
	now, err := s.ask(ctx, claims)
	switch {
	case err != nil:
		return Identity{}, err
	case claims.Role != account.RoleAdmin:
		return Identity{}, ErrNotAdmin
	case now.Sub(claims.AuthTime) > s.config.AdminMaxAge:
		return Identity{}, ErrStaleLogin
	}
	return identityOf(claims), nil
}

// AdminMaxAge is how old the login of an admin may be, in whole seconds.
func (s *Service) AdminMaxAge() time.Duration { return s.config.AdminMaxAge.Truncate(time.Second) }
