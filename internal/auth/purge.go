package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kindred/internal/audit"
	"kindred/internal/store"
)

// Purged is what a purge did away with.
type Purged struct {
	Families   int
	Partitions []string // tables that were dropped, oldest first
	InUse      int      // tables of which a past partition is left, since somebody uses it
	Busy       bool     // somebody else purges and goes on
}

// errPurging: another replica or command is at it.
var errPurging = errors.New("somebody else purges")

// Purge makes the partitions that are missing, and deletes what nobody needs any more: families a day after
// their absolute expiry, the tokens of a week once no family of it is left, audit events that are older than
// AuditRetention. It works in short transactions, so that nobody waits for it, and may be ended at any
// moment: the next one goes on. Of several at once one works, and the others return at once with nothing.
func (s *Service) Purge(ctx context.Context, caller Caller) (Purged, error) {
	if err := s.store.EnsurePartitions(ctx); err != nil {
		return Purged{}, err
	}
	var done Purged
	err := s.purgeFamilies(ctx, caller, &done)
	if err == nil {
		err = s.purgePartitions(ctx, caller, &done)
	}
	if errors.Is(err, errPurging) {
		done.Busy, err = true, nil
	}
	return done, err
}

func (s *Service) purgeFamilies(ctx context.Context, caller Caller, done *Purged) error {
	const atOnce, batch = 100_000, 1000
	for {
		var dead []uuid.UUID
		err := s.purgeOnce(ctx, caller, func(ctx context.Context, tx *store.Tx) (found map[string]any, err error) {
			dead, err = tx.DeadFamilies(ctx, atOnce)
			return nil, err
		})
		if err != nil {
			return err
		}
		deleted := 0
		for ids := range slices.Chunk(dead, batch) {
			n, err := s.purgeBatch(ctx, caller, ids, len(dead), deleted == 0)
			if err != nil {
				return err
			}
			deleted += n
			done.Families += n
		}
		if len(dead) < atOnce || deleted == 0 {
			return nil
		}
	}
}

// purgeBatch deletes those of the families that nobody holds. The first of many batches records how many were
// found: one row for all, and none is deleted without.
func (s *Service) purgeBatch(ctx context.Context, caller Caller, ids []uuid.UUID, found int, first bool) (deleted int, err error) {
	err = s.purgeOnce(ctx, caller, func(ctx context.Context, tx *store.Tx) (_ map[string]any, err error) {
		if deleted, err = tx.DeleteDeadFamilies(ctx, ids); err != nil || deleted == 0 || !first {
			return nil, err
		}
		return map[string]any{"families": found}, nil
	})
	return deleted, err
}

func (s *Service) purgePartitions(ctx context.Context, caller Caller, done *Purged) error {
	for _, drop := range []dropping{
		(*store.Tx).DropPastTokens,
		func(tx *store.Tx, ctx context.Context) (string, bool, error) {
			return tx.DropPastEvents(ctx, s.config.AuditRetention)
		},
	} {
		if err := s.dropAll(ctx, caller, drop, done); err != nil {
			return err
		}
	}
	return nil
}

// dropping drops one partition of a table.
type dropping func(tx *store.Tx, ctx context.Context) (name string, inUse bool, err error)

// dropAll drops what is past of one table, the oldest first. A partition that somebody uses is tried a few
// times and then left for the next purge.
func (s *Service) dropAll(ctx context.Context, caller Caller, drop dropping, done *Purged) error {
	const attempts, pause = 5, 300 * time.Millisecond
	for failed := 0; failed < attempts; {
		var name string
		var inUse bool
		err := s.purgeOnce(ctx, caller, func(ctx context.Context, tx *store.Tx) (found map[string]any, err error) {
			if name, inUse, err = drop(tx, ctx); err != nil || name == "" {
				return nil, err
			}
			return map[string]any{"partition": name}, nil
		})
		switch {
		case err != nil:
			return err
		case name != "":
			done.Partitions = append(done.Partitions, name)
			continue
		case !inUse:
			return nil
		}
		failed++
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a partition: %w: %w", ErrUnavailable, ctx.Err())
		case <-time.After(pause):
		}
	}
	done.InUse++
	return nil
}

// purgeOnce runs one step, alone, and records what it found to do.
func (s *Service) purgeOnce(ctx context.Context, caller Caller, step func(context.Context, *store.Tx) (map[string]any, error)) error {
	return s.change(ctx, caller, func(ctx context.Context, tx *store.Tx, j *journal) error {
		alone, err := tx.TryPurge(ctx)
		if err != nil {
			return err
		}
		if !alone {
			return errPurging
		}
		found, err := step(ctx, tx)
		if err != nil || found == nil {
			return err
		}
		return j.add(ctx, audit.Event{Kind: audit.Purged, Detail: found})
	})
}
