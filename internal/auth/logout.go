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

// LogoutRequest names the session to end, by one credential or by two of the same session.
type LogoutRequest struct {
	RefreshToken string // any generation
	AccessToken  string // may be expired
	Client       ClientCredentials
}

// Logout revokes a family. It is nil also when the credential is not ours, the family has ended, or its
// refresh token is one that the client may not bring: whoever wants to be gone is gone. A token of an
// older generation is no reuse here, since ending the session is what a reuse would lead to.
// ErrTwoCredentials if the two name different families; ErrInvalidClient if a client is named that is not
// to be believed.
func (s *Service) Logout(ctx context.Context, caller Caller, r LogoutRequest) error {
	refresh, refreshErr := s.codec.Parse(r.RefreshToken)
	if refreshErr != nil && !errors.Is(refreshErr, token.ErrNotOurs) {
		return refreshErr
	}
	access, accessErr := s.withKnownKey(ctx, r.AccessToken, s.verifier.VerifyExpired)
	if accessErr != nil && !errors.Is(accessErr, token.ErrInvalidAccessToken) {
		return accessErr
	}
	byRefresh, byAccess := refreshErr == nil, accessErr == nil
	if byRefresh && byAccess && refresh.FamilyID != access.SessionID {
		return ErrTwoCredentials
	}
	client, err := s.client(ctx, r.Client)
	if err != nil || !byRefresh && !byAccess {
		return err
	}
	id := access.SessionID
	if byRefresh {
		id = refresh.FamilyID
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		f, live, err := lockLive(ctx, tx, id)
		if err != nil || !live {
			return err
		}
		if byAccess {
			return s.logOut(ctx, tx, j, f)
		}
		may, err := mayLogOut(ctx, tx, f, r.Client.ID == "", client)
		if err != nil || !may {
			return err
		}
		stands, err := standsIn(ctx, tx, j, f, refresh)
		if err != nil || !stands {
			return err
		}
		return s.logOut(ctx, tx, j, f)
	})
}

// mayLogOut tells whether a refresh token ends its family when a client brings it: the family's own does,
// and where none is named anybody who holds a public client's token, since a name would prove nothing.
func mayLogOut(ctx context.Context, tx *store.Tx, f family.Family, unnamed bool, named account.Client) (bool, error) {
	if !unnamed || f.ClientID == family.DefaultClient {
		return f.ClientID == named.ID, nil
	}
	of, err := tx.Client(ctx, f.ClientID) // whose type never changes
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return of.Type == account.PublicClient, err
}

func (s *Service) logOut(ctx context.Context, tx *store.Tx, j *journal, f family.Family) error {
	by := audit.ByUser(f.UserID)
	err := j.add(ctx, audit.Event{Kind: audit.Logout, Actor: by, UserID: someID(f.UserID), FamilyID: someID(f.ID), ClientID: f.ClientID})
	if err != nil {
		return err
	}
	return s.revoke(ctx, tx, j, f, family.ReasonLogout, by)
}

// EndSession revokes one family of the signed-in user. ErrSessionNotFound if it is another's, or gone.
func (s *Service) EndSession(ctx context.Context, caller Caller, who Identity, id uuid.UUID) error {
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		f, err := tx.LockFamily(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return ErrSessionNotFound
		}
		if err != nil {
			return err
		}
		if f.UserID != who.User.ID || f.RevokedAt != nil {
			return ErrSessionNotFound
		}
		return s.revoke(ctx, tx, j, f, family.ReasonSessionEnded, audit.ByUser(who.User.ID))
	})
}

// EndSessions revokes all families of the signed-in user, or all but the one that asks. Logins that
// are under way are waited for and ended too.
func (s *Service) EndSessions(ctx context.Context, caller Caller, who Identity, exceptCurrent bool) error {
	except := uuid.Nil
	if exceptCurrent {
		except = who.SessionID
	}
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		if _, err := tx.LockUser(ctx, who.User.ID); err != nil {
			return err
		}
		return s.revokeAll(ctx, tx, j, who.User.ID, except, family.ReasonSessionEnded, audit.ByUser(who.User.ID))
	})
}

// revokeAll ends a user's families but one; the transaction holds the user's row already.
func (s *Service) revokeAll(ctx context.Context, tx *store.Tx, j *journal, userID, except uuid.UUID, reason family.Reason, by string) error {
	ended, err := tx.RevokeFamilies(ctx, userID, except, reason, by)
	if err != nil {
		return err
	}
	return j.addRevoked(ctx, ended, userID, reason, by)
}
