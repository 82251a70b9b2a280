package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

func publishKey(t testing.TB, st *store.Store, id string, wait time.Duration) {
	t.Helper()
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		return tx.PublishSigningKey(ctx, id, "ES256", []byte("sealed "+id), wait)
	})
}

func signingKeys(t testing.TB, st *store.Store) ([]store.SigningKey, time.Time) {
	t.Helper()
	keys, now, err := st.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys, now
}

// The order is that in which they sign, the clock the database's.
func TestSigningKeys_ByTheDatabasesClockInTheirOrder(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	if keys, _ := signingKeys(t, st); len(keys) != 0 {
		t.Errorf("%d keys in an empty table", len(keys))
	}
	db.Advance(t, 1000*time.Hour)
	publishKey(t, st, "later", time.Hour)
	publishKey(t, st, "at once", 0)
	keys, now := signingKeys(t, st)
	if len(keys) != 2 || keys[0].ID != "at once" || keys[1].ID != "later" {
		t.Fatalf("keys %+v", keys)
	}
	for i, wait := range []time.Duration{0, time.Hour} {
		k := keys[i]
		if !k.SignFrom.Equal(k.PublishedAt.Add(wait)) || k.PublishedAt.After(now) || now.Sub(k.PublishedAt) > time.Hour || k.Algorithm != "ES256" ||
			string(k.PrivateKey) != "sealed "+k.ID || k.RetiredAt != nil || k.RevokedAt != nil {
			t.Errorf("key %+v at %v, want it to sign %v after its publication", k, now, wait)
		}
	}
	if ahead := time.Until(now); ahead < 999*time.Hour {
		t.Errorf("the clock is %v ahead, want the database's", ahead)
	}
}

func TestSigningKeys_EndOnce(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	publishKey(t, st, "a", 0)
	publishKey(t, st, "b", 0)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		for _, c := range []struct {
			name string
			end  func(context.Context, string) (bool, error)
			id   string
			want bool
		}{
			{"retire", tx.RetireSigningKey, "a", true},
			{"retire again", tx.RetireSigningKey, "a", false},
			{"revoke what was retired", tx.RevokeSigningKey, "a", true},
			{"revoke", tx.RevokeSigningKey, "b", true},
			{"revoke again", tx.RevokeSigningKey, "b", false},
			{"retire what was revoked", tx.RetireSigningKey, "b", false},
			{"retire nothing", tx.RetireSigningKey, "c", false},
			{"revoke nothing", tx.RevokeSigningKey, "c", false},
		} {
			if changed, err := c.end(ctx, c.id); err != nil || changed != c.want {
				t.Errorf("%s: changed %v, error %v, want %v", c.name, changed, err, c.want)
			}
		}
		return nil
	})
}

// Two replicas that find the table empty must not both fill it, while everybody reads on.
func TestLockSigningKeys_OneAtATime(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockSigningKeys(ctx); err != nil {
			return err
		}
		err := st.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.LockSigningKeys(ctx)
			return err
		})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a second one: error %v, want ErrUnavailable", err)
		}
		signingKeys(t, st)
		return nil
	})
}

// The table itself refuses what could never be verified, or would sign before it was published.
func TestSigningKeys_TableRefuses(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	for name, statement := range map[string]string{
		"HS256":                    `INSERT INTO signing_keys VALUES ('a', 'HS256', 'x', now(), now())`,
		"signs before it is there": `INSERT INTO signing_keys VALUES ('a', 'ES256', 'x', now(), now() - interval '1 second')`,
		"the same id twice":        `INSERT INTO signing_keys VALUES ('a', 'ES256', 'x', now(), now()), ('a', 'ES256', 'x', now(), now())`,
	} {
		if _, err := db.Conn(t).Exec(t.Context(), statement); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
