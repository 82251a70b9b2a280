package auth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/token"
)

// Identity is who a valid access token speaks for: the user as the token describes it, which is how the
// database has it, since a change of role, state or password revokes the tokens before it.
type Identity struct {
	User      account.User
	SessionID uuid.UUID
	ClientID  string
	AuthTime  time.Time
}

// Authenticate checks an access token: signature and claims first, then whether it was revoked, by itself
// or with its family, its user's version or all. While the blacklist is fresh that costs no statement, else
// one. A token that was issued before the user's role, state or password changed is refused, and the
// client refreshes. ErrInvalidAccessToken for every refusal; ErrUnavailable when nobody can tell.
func (s *Service) Authenticate(ctx context.Context, accessToken string) (Identity, error) {
	claims, err := s.verifyAccess(ctx, accessToken)
	if errors.Is(err, token.ErrInvalidAccessToken) {
		return Identity{}, ErrInvalidAccessToken
	}
	if err != nil {
		return Identity{}, err
	}
	switch s.blacklist.Check(revocation.Token{
		ID: claims.ID, FamilyID: claims.SessionID, UserID: claims.Subject, Version: claims.Version, IssuedAt: claims.IssuedAt,
	}) {
	case revocation.Revoked:
		return Identity{}, ErrInvalidAccessToken
	case revocation.Unknown:
		if _, err := s.ask(ctx, claims); err != nil {
			return Identity{}, err
		}
	}
	return identityOf(claims), nil
}

func identityOf(claims token.AccessClaims) Identity {
	return Identity{
		User: account.User{
			ID: claims.Subject, Username: claims.Username, Role: claims.Role, Version: claims.Version, Claims: claims.Custom,
		},
		SessionID: claims.SessionID, ClientID: claims.ClientID, AuthTime: claims.AuthTime,
	}
}

// ask lets the database say whether a token that was verified stands, and what time it is.
func (s *Service) ask(ctx context.Context, claims token.AccessClaims) (now time.Time, err error) {
	keyID := claims.KeyID
	if s.keyBox == nil {
		keyID = "" // the secret's own, which no row has
	}
	standing, err := s.store.Standing(ctx, store.AccessToken{
		ID: claims.ID, FamilyID: claims.SessionID, IssuedAt: claims.IssuedAt, KeyID: keyID,
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return time.Time{}, ErrInvalidAccessToken
	case err != nil:
		return time.Time{}, err
	case !standing.Live, !standing.User.Enabled(), standing.User.ID != claims.Subject, claims.Version < standing.User.Version:
		return time.Time{}, ErrInvalidAccessToken
	}
	return standing.Now, nil
}
