package auth

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
)

// errCrowded: the user is too near the limit of sessions for a login that others may run beside.
var errCrowded = errors.New("near the limit of sessions")

// crowd is how many logins of one user may be under way at once without passing the limit unseen: each counts
// the families that stand, and not those of its neighbours.
const crowd = 50

// startFamily begins a session, and ends the oldest of a user who then has more than MaxSessionsPerUser, in the
// same transaction. Logins share the user's row while there are few sessions. Near the limit one goes after the
// other, so that each counts the one before; the lock is never upgraded, since two that try wait for each other.
func (s *Service) startFamily(ctx context.Context, caller Caller, verified account.User, clientID string, device knownDevice) (Tokens, error) {
	limit := s.config.MaxSessionsPerUser
	tokens, err := s.beginFamily(ctx, caller, verified, clientID, device, limit > 0 && limit <= crowd)
	if errors.Is(err, errCrowded) {
		return s.beginFamily(ctx, caller, verified, clientID, device, true)
	}
	return tokens, err
}

// holdForLogin keeps a user from changing until the transaction ends; alone, it keeps other logins waiting too.
func holdForLogin(ctx context.Context, tx *store.Tx, id uuid.UUID, alone bool) (account.User, error) {
	if alone {
		return tx.LockUser(ctx, id)
	}
	return tx.ShareUser(ctx, id)
}

// limitSessions looks at how many other live families there were when f began. Sessions that have expired do not
// count.
func (s *Service) limitSessions(ctx context.Context, tx *store.Tx, j *journal, f family.Family, others int, alone bool) error {
	limit := s.config.MaxSessionsPerUser
	switch {
	case limit == 0:
		return nil
	case !alone && others >= limit-crowd:
		return errCrowded
	case !alone || others < limit:
		return nil
	}
	ended, err := tx.RevokeOldestFamilies(ctx, f.UserID, f.ID, limit-1, family.ReasonSessionLimit, audit.BySystem)
	if err != nil {
		return err
	}
	return j.addRevoked(ctx, ended, f.UserID, family.ReasonSessionLimit, audit.BySystem)
}
