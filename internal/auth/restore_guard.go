package auth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
)

// Guarded is what a restore-guard ended.
type Guarded struct {
	Families int
	Keys     []string  // ids of signing keys
	Before   time.Time // access tokens issued until then are refused
}

// GuardRestore makes a database safe to serve from that was restored from a backup: what was revoked since the
// backup lives there again, and nobody can tell what it was. So everything ends: first all access tokens, by an
// entry of the blacklist and, for those who verify by themselves, by revoking all signing keys, and links that set
// a password, which may have been used, then all families, in short transactions. progress is told of each. The first server that comes makes the next key.
//
// From its beginning to its end servers refuse to work, so that nothing that was revoked is believed meanwhile.
// It may be ended at any moment, and of two at once both do the same: whoever calls it again goes on.
func (s *Service) GuardRestore(ctx context.Context, caller Caller, progress func(families int)) (Guarded, error) {
	var done Guarded
	keys, err := s.beginGuard(ctx, caller)
	if err != nil {
		return done, err
	}
	done.Keys = keys
	if done.Families, err = s.endAllFamilies(ctx, caller, progress); err != nil {
		return done, err
	}
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) (err error) {
		// Once more: a server that had a connection from before may have refreshed a family before it ended.
		if done.Before, err = tx.RevokeAllTokens(ctx); err != nil {
			return err
		}
		if err := tx.AwaitNextSecond(ctx, done.Before); err != nil {
			return err
		}
		if err := tx.EndGuard(ctx); err != nil {
			return err
		}
		return j.add(ctx, audit.Event{
			Kind: audit.RestoreGuarded, Reason: "restored",
			Detail: map[string]any{"families": done.Families, "keys": len(done.Keys), "tokens_before": done.Before},
		})
	})
	return done, err
}

// beginGuard keeps the servers out, and ends all access tokens, the keys that signed them, and all reset links.
func (s *Service) beginGuard(ctx context.Context, caller Caller) (keys []string, err error) {
	err = s.changeKeys(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal, all []store.SigningKey, now time.Time) error {
		keys = nil
		if err := tx.BeginGuard(ctx); err != nil {
			return err
		}
		if _, err := tx.RevokeAllTokens(ctx); err != nil {
			return err
		}
		if err := tx.DropAllResets(ctx); err != nil {
			return err
		}
		// Also one that was revoked after the backup was made verifies again.
		for _, k := range describeKeys(all, now) {
			if !k.State.Verifies() {
				continue
			}
			if _, err := tx.RevokeSigningKey(ctx, k.ID); err != nil {
				return err
			}
			if err := j.add(ctx, audit.Event{Kind: audit.KeyRevoked, Reason: "restored", Detail: map[string]any{"kid": k.ID}}); err != nil {
				return err
			}
			keys = append(keys, k.ID)
		}
		return nil
	})
	return keys, err
}

// endAllFamilies leaves no row of the trail and none of the blacklist for each: the one entry covers them.
func (s *Service) endAllFamilies(ctx context.Context, caller Caller, progress func(families int)) (ended int, err error) {
	const batch = 1000
	after := uuid.Nil
	for {
		var families []uuid.UUID
		err := s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, _ *journal) (err error) {
			families, err = tx.RevokeAnyFamilies(ctx, after, batch, family.ReasonRestoreGuard, caller.Actor)
			return err
		})
		if err != nil || len(families) == 0 {
			return ended, err
		}
		ended, after = ended+len(families), families[len(families)-1]
		progress(ended)
	}
}

// RecordMove records that the database was moved to where it is now, with all that it had: nothing ends. moved
// is false if it was recorded so before. A *store.InstallationError while a restore-guard has not ended.
func (s *Service) RecordMove(ctx context.Context, caller Caller) (moved bool, err error) {
	err = s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) (err error) {
		if moved, err = tx.RecordMove(ctx); err != nil || !moved {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.InstallationMoved})
	})
	return moved, err
}
