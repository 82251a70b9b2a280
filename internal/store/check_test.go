package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// Each invariant is broken by hand, past the constraints where those would hold it, and Check must
// name it: a check that finds nothing would let every race test pass.
func TestCheck_FindsEachViolation(t *testing.T) {
	t.Parallel()
	const noForkConstraint = `ALTER TABLE refresh_tokens DROP CONSTRAINT refresh_tokens_one_child; `
	cases := []struct{ name, invariant, breakIt string }{
		{"a second child", "I1", noForkConstraint + `
			INSERT INTO refresh_tokens SELECT gen_random_uuid(), expires_on, family_id, parent_id, token_hash, generation, issued_at, expires_at, user_agent, address
			  FROM refresh_tokens WHERE generation = 1`},
		{"a second root", "I1", noForkConstraint + `
			INSERT INTO refresh_tokens SELECT gen_random_uuid(), expires_on, family_id, NULL, token_hash, 0, issued_at, expires_at, user_agent, address
			  FROM refresh_tokens WHERE generation = 0`},
		{"the current token is gone", "I2", `DELETE FROM refresh_tokens WHERE generation = 2`},
		{"the hash differs", "I2", `UPDATE token_families SET current_hash = sha256('x')`},
		{"the generation differs", "I2", `UPDATE token_families SET generation = 1`},
		{"the parent differs", "I2", `UPDATE token_families SET previous_token_id = gen_random_uuid()`},
		{"the current token has a child", "I2", `
			INSERT INTO refresh_tokens SELECT gen_random_uuid(), expires_on, family_id, id, token_hash, 3, issued_at, expires_at, user_agent, address
			  FROM refresh_tokens WHERE generation = 2`},
		{"a token in between is gone", "I2", `DELETE FROM refresh_tokens WHERE generation = 1`},
		{"alive with a disabled user", "I3", `UPDATE users SET disabled_at = clock_timestamp()`},
		{"alive with a deleted user", "I3", `UPDATE users SET deleted_at = clock_timestamp(), username = NULL, username_key = NULL, password_hash = NULL`},
		{"rotated after its end", "I3", `UPDATE token_families SET revoked_at = rotated_at - interval '1 second', revoked_reason = 'logout', revoked_by = ''`},
		{"a parent that is not there", "I4", `UPDATE refresh_tokens SET parent_id = gen_random_uuid() WHERE generation = 1`},
		{"a parent two generations back", "I4", noForkConstraint + `
			UPDATE refresh_tokens SET parent_id = (SELECT id FROM refresh_tokens WHERE generation = 0) WHERE generation = 2`},
		{"a token that outlives its family", "I5", `UPDATE refresh_tokens SET expires_at = expires_at + interval '100 days' WHERE generation = 1`},
		{"a token in another partition", "I5", `UPDATE refresh_tokens SET expires_on = expires_on + 7 WHERE generation = 0`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			st := open(t, db, nil)
			_, f, token := login(t, st)
			rotate(t, st, f, rotate(t, st, f, token))
			wantNoViolation(t, st)
			db.Exec(t, c.breakIt)
			violations, err := st.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			named := false
			for _, v := range violations {
				named = named || v.Invariant == c.invariant && v.FamilyID == f.ID
			}
			if !named {
				t.Errorf("found %v, want %s for family %s", violations, c.invariant, f.ID)
			}
		})
	}
}

// What the schema itself refuses, whatever the program does.
func TestSchema_RefusesWhatBreaksAChain(t *testing.T) {
	t.Parallel()
	copyOf := func(columns string) string {
		return `INSERT INTO refresh_tokens SELECT ` + columns + `, issued_at, expires_at, user_agent, address FROM refresh_tokens `
	}
	cases := []struct{ name, constraint, statement string }{
		{"a fork", "parent_id", copyOf(`gen_random_uuid(), expires_on, family_id, parent_id, token_hash, generation`) + `WHERE generation = 1`},
		{"a second root", "parent_id", copyOf(`gen_random_uuid(), expires_on, family_id, NULL, token_hash, 0`) + `WHERE generation = 0`},
		{"a root with a parent", "refresh_tokens_root_has_no_parent", `UPDATE refresh_tokens SET parent_id = gen_random_uuid() WHERE generation = 0`},
		{"a child without one", "refresh_tokens_root_has_no_parent", `UPDATE refresh_tokens SET parent_id = NULL WHERE generation = 1`},
		{"its own parent", "refresh_tokens_not_its_own_parent", `UPDATE refresh_tokens SET parent_id = id WHERE generation = 1`},
		{"a short hash", "refresh_tokens_hash_is_sha256", `UPDATE refresh_tokens SET token_hash = '\x00'`},
		{"a short current hash", "token_families_hash_is_sha256", `UPDATE token_families SET current_hash = '\x00'`},
		{"idle beyond absolute", "token_families_idle_within_absolute", `UPDATE token_families SET idle_expires_at = expires_at + interval '1 second'`},
		{"access beyond absolute", "token_families_access_within_absolute", `UPDATE token_families SET access_until = expires_at + interval '1 second'`},
		{"a revocation without a reason", "token_families_revocation_is_whole", `UPDATE token_families SET revoked_at = clock_timestamp()`},
		{"a tombstone with a name", "users_tombstone_keeps_no_credentials", `UPDATE users SET deleted_at = clock_timestamp()`},
		{"a living user without a hash", "users_tombstone_keeps_no_credentials", `UPDATE users SET password_hash = NULL`},
		{"another day than the expiry's", "token_families_day_is_that_of_the_expiry", `UPDATE token_families SET expires_on = expires_on + 1`},
	}
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, token := login(t, st)
	rotate(t, st, f, token)
	conn := db.Conn(t)
	for _, c := range cases {
		_, err := conn.Exec(t.Context(), c.statement)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || !strings.Contains(pgErr.ConstraintName, c.constraint) {
			t.Errorf("%s: error %v, want constraint %s", c.name, err, c.constraint)
		}
	}
}

// The login has looked at its user and started its family, but not committed. Whoever ends all the
// user's families must wait for it: a statement that does not, ends only what it can see.
func TestRevokeFamilies_WaitsForALoginThatIsUnderWay(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user := newUser(t, st)
	watch := db.Conn(t)
	ended := make(chan []uuid.UUID, 1)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.ShareUser(ctx, user.ID); err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.StartFamily(ctx, familyAt(now, user.ID, newLink())); err != nil {
			return err
		}
		go func() { ended <- disable(t, st, user.ID) }()
		awaitBlockedOrDone(t, watch, ended)
		return nil
	})
	if ids := <-ended; len(ids) != 1 {
		t.Errorf("%d families ended, want that of the login under way", len(ids))
	}
	wantNoViolation(t, st)
}

// disable does what the use case does, in its order.
func disable(t testing.TB, st *store.Store, userID uuid.UUID) (ended []uuid.UUID) {
	err := st.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.DisableUser(ctx, userID); err != nil {
			return err
		}
		var err error
		ended, err = tx.RevokeFamilies(ctx, userID, uuid.Nil, family.ReasonUserDisabled, "test")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return ended
}

// awaitBlockedOrDone returns once a session of the database waits for a lock, or the channel has
// something to tell without.
func awaitBlockedOrDone[T any](t testing.TB, watch *pgx.Conn, done chan T) {
	t.Helper()
	for blocked := false; !blocked && len(done) == 0; {
		err := watch.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0)`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
}
