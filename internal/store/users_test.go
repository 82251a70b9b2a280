package store_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// A rehash that was overtaken by a change of the password must not bring the old password back.
func TestReplacePasswordHash_OnlyOverTheHashThatWasVerified(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user := newUser(t, st)
	db.Exec(t, `UPDATE users SET password_hash = 'changed'`)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		changed, err := tx.ReplacePasswordHash(ctx, user.ID, user.PasswordHash, "rehashed")
		if changed {
			t.Error("a hash was replaced that nobody verified")
		}
		return err
	})
}

// The access tokens that were handed out before must not come back with the user.
func TestDisableUser_RaisesTheVersion(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	user := newUser(t, st)
	for i, change := range []func(*store.Tx, context.Context, uuid.UUID) (bool, error){
		(*store.Tx).DisableUser, (*store.Tx).EnableUser, (*store.Tx).DisableUser,
	} {
		inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
			if changed, err := change(tx, ctx, user.ID); err != nil || !changed {
				t.Errorf("change %d: %v, error %v", i, changed, err)
			}
			after, err := tx.LockUser(ctx, user.ID)
			if want := user.Version + int64(i) + 1; err == nil && after.Version != want {
				t.Errorf("version %d after change %d, want %d", after.Version, i, want)
			}
			return err
		})
	}
}

// The order of the ids is everybody's order: the first family is waited for before the second is held.
func TestRevokeFamilies_LocksInTheOrderOfTheIDs(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user := newUser(t, st)
	first, _ := startFamily(t, st, user.ID)
	second, token := startFamily(t, st, user.ID)
	watch := db.Conn(t)
	done := make(chan error, 1)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockFamily(ctx, first.ID); err != nil {
			return err
		}
		go func() {
			done <- st.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.RevokeFamilies(ctx, user.ID, uuid.Nil, family.ReasonSessionEnded, "test")
				return err
			})
		}()
		for blocked := false; !blocked && len(done) == 0; {
			err := watch.QueryRow(ctx, `
				SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0)`).Scan(&blocked)
			if err != nil {
				return err
			}
		}
		rotate(t, st, second, token) // passes over a family that is held, and fails then
		return nil
	})
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// An operator who shortens the lifetime of access tokens does not shorten those that are out.
func TestRotateFamily_AccessUntilNeverMovesBack(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	_, f, first := login(t, st)
	shorter := rotation(f, first, newLink())
	shorter.AccessLifetime = access / 2
	if _, ok, err := st.RotateFamily(t.Context(), shorter); err != nil || !ok {
		t.Fatalf("rotated %v, error %v", ok, err)
	}
	if after := read(t, st, f.ID); after.AccessUntil.Before(f.AccessUntil) {
		t.Errorf("access until %v, was %v", after.AccessUntil, f.AccessUntil)
	}
}
