package auth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/store"
	"kindred/internal/token"
)

// Identity is who a valid access token speaks for, with the user as the database has it now.
type Identity struct {
	User      account.User
	SessionID uuid.UUID
	ClientID  string
	AuthTime  time.Time
}

// Authenticate checks an access token: signature and claims first, then, in one statement, whether
// its family and its user still stand. A token that was issued before the user's role, state or
// password changed is refused, and the client refreshes. ErrInvalidAccessToken for every refusal.
func (s *Service) Authenticate(ctx context.Context, accessToken string) (Identity, error) {
	claims, err := s.verifier.Verify(accessToken)
	if errors.Is(err, token.ErrInvalidAccessToken) {
		return Identity{}, ErrInvalidAccessToken
	}
	if err != nil {
		return Identity{}, err
	}
	standing, err := s.store.Standing(ctx, claims.SessionID)
	if errors.Is(err, store.ErrNotFound) {
		return Identity{}, ErrInvalidAccessToken
	}
	if err != nil {
		return Identity{}, err
	}
	if !standing.Live || !standing.User.Enabled() || standing.User.ID != claims.Subject || claims.Version < standing.User.Version {
		return Identity{}, ErrInvalidAccessToken
	}
	return Identity{User: standing.User, SessionID: claims.SessionID, ClientID: standing.ClientID, AuthTime: standing.AuthTime}, nil
}
