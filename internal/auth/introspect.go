package auth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/token"
)

// ErrMayNotIntrospect: the client is who it says, and no operator has let it introspect.
var ErrMayNotIntrospect = errors.New("client may not introspect")

// Introspection is what an active token stands for (RFC 7662 §2.2). The zero value is an inactive one's.
type Introspection struct {
	Identity
	Active    bool
	Access    bool // an access token; else a refresh token
	TokenID   uuid.UUID
	IssuedAt  time.Time
	ExpiresAt time.Time // of a refresh token: if it is not used
	Audience  string    // of an access token
}

// Introspect says what a token is worth at this moment, by the database and by no memory: of an access
// token to every client that may introspect, of a refresh token to its own client only. It changes
// nothing: an old refresh token is inactive and no reuse. Errors: ErrInvalidClient, for public clients
// too, since scanning for tokens must not be free (RFC 7662 §4); ErrMayNotIntrospect.
func (s *Service) Introspect(ctx context.Context, credentials ClientCredentials, presented string) (Introspection, error) {
	client, err := s.client(ctx, credentials)
	switch {
	case err != nil:
		return Introspection{}, err
	case client.Type != account.ConfidentialClient:
		return Introspection{}, ErrInvalidClient
	case !client.MayIntrospect:
		return Introspection{}, ErrMayNotIntrospect
	}
	refresh, err := s.codec.Parse(presented)
	if err == nil {
		return s.introspectRefresh(ctx, client, refresh)
	}
	if !errors.Is(err, token.ErrNotOurs) {
		return Introspection{}, err
	}
	found, err := s.introspectAccess(ctx, presented)
	if errors.Is(err, ErrInvalidAccessToken) || errors.Is(err, token.ErrInvalidAccessToken) {
		return Introspection{}, nil
	}
	return found, err
}

// introspectRefresh calls active what a refresh would rotate, by the same rules.
func (s *Service) introspectRefresh(ctx context.Context, client account.Client, refresh token.RefreshToken) (Introspection, error) {
	f, user, now, err := s.store.FamilyAndUser(ctx, refresh.FamilyID)
	if errors.Is(err, store.ErrNotFound) {
		return Introspection{}, nil
	}
	if err != nil {
		return Introspection{}, err
	}
	verdict := family.Policy{}.Judge(f, user.Enabled(), family.Presented{
		TokenID: refresh.TokenID, Hash: refresh.Hash(), ClientID: client.ID,
	}, family.Clock{Now: now})
	if verdict != family.VerdictRotate {
		return Introspection{}, nil
	}
	return Introspection{
		Identity: Identity{User: user, SessionID: f.ID, ClientID: f.ClientID, AuthTime: f.AuthTime},
		Active:   true, TokenID: refresh.TokenID, IssuedAt: f.RotatedAt, ExpiresAt: f.IdleExpiresAt,
	}, nil
}

func (s *Service) introspectAccess(ctx context.Context, presented string) (Introspection, error) {
	claims, err := s.verifyAccess(ctx, presented)
	if err != nil {
		return Introspection{}, err
	}
	// Not by Authenticate, which would believe the blacklist.
	now, err := s.ask(ctx, claims)
	if err != nil {
		return Introspection{}, err
	}
	if !now.Before(claims.ExpiresAt) { // no leeway: no other clock is asked (RFC 7662 §4)
		return Introspection{}, ErrInvalidAccessToken
	}
	return Introspection{
		Identity: identityOf(claims), Active: true, Access: true,
		TokenID: claims.ID, IssuedAt: claims.IssuedAt, ExpiresAt: claims.ExpiresAt, Audience: claims.Audience,
	}, nil
}
