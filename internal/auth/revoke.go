package auth

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/token"
)

// ErrTokenOfAnother: the token was issued to another client than the one that asks; nothing was done.
var ErrTokenOfAnother = errors.New("token of another client")

// Revoke ends a token for the client that it was issued to (RFC 7009 §2.1). A refresh token of any
// generation ends its family; an access token is refused from then on, by itself, on this replica once
// this returns and on the others within their bound. It is nil also for a token that is not ours or has
// ended. Errors: ErrInvalidClient; ErrTokenOfAnother; ErrUnavailable, and the token is as good as before.
func (s *Service) Revoke(ctx context.Context, caller Caller, credentials ClientCredentials, presented string) error {
	client, err := s.client(ctx, credentials)
	if err != nil {
		return err
	}
	refresh, err := s.codec.Parse(presented)
	if err == nil {
		return s.revokeRefresh(ctx, caller, client, refresh)
	}
	if !errors.Is(err, token.ErrNotOurs) {
		return err
	}
	claims, err := s.verifyAccess(ctx, presented)
	switch {
	case errors.Is(err, token.ErrInvalidAccessToken):
		return nil
	case err != nil:
		return err
	case claims.ClientID != client.ID:
		return ErrTokenOfAnother
	}
	return s.revokeAccess(ctx, caller, client, claims)
}

func (s *Service) revokeRefresh(ctx context.Context, caller Caller, client account.Client, refresh token.RefreshToken) error {
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		f, live, err := lockLive(ctx, tx, refresh.FamilyID)
		if err != nil || !live {
			return err
		}
		if f.ClientID != client.ID {
			return ErrTokenOfAnother
		}
		stands, err := standsIn(ctx, tx, j, f, refresh)
		if err != nil || !stands {
			return err
		}
		return s.revoke(ctx, tx, j, f, family.ReasonTokenRevoked, audit.ByClient(client.ID))
	})
}

// revokeAccess puts a token on the blacklist, and beside too many of its family the family itself.
func (s *Service) revokeAccess(ctx context.Context, caller Caller, client account.Client, claims token.AccessClaims) error {
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		f, live, err := lockLive(ctx, tx, claims.SessionID)
		if err != nil || !live {
			return err
		}
		full, err := tx.RevokeToken(ctx, f.ID, claims.ID, claims.ExpiresAt)
		if err != nil {
			return err
		}
		if full {
			return s.revoke(ctx, tx, j, f, family.ReasonTokenLimit, audit.BySystem)
		}
		if len(tx.Revoked()) == 0 {
			return nil // it was on the list already
		}
		return j.add(ctx, audit.Event{
			Kind: audit.TokenRevoked, Actor: audit.ByClient(client.ID), UserID: someID(f.UserID), FamilyID: someID(f.ID),
			ClientID: f.ClientID, Detail: map[string]any{"jti": claims.ID.String()},
		})
	})
}

// lockLive locks a family; live is false if it is not there or has ended.
func lockLive(ctx context.Context, tx *store.Tx, id uuid.UUID) (f family.Family, live bool, err error) {
	f, err = tx.LockFamily(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return family.Family{}, false, nil
	}
	return f, err == nil && f.RevokedAt == nil, err
}

// standsIn tells whether a refresh token is one of a locked family's, of whatever generation. A right MAC
// alone must not end a family: the key may have leaked, the token's hash cannot.
func standsIn(ctx context.Context, tx *store.Tx, j *journal, f family.Family, refresh token.RefreshToken) (bool, error) {
	evidence, err := tx.Evidence(ctx, f, refresh.TokenID)
	if err != nil {
		return false, err
	}
	if evidence.Row == nil || evidence.Row.Hash != refresh.Hash() {
		return false, j.addFirst(ctx, tokenLost(f))
	}
	return true, nil
}
