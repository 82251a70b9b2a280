package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
	"kindred/migrations"
)

func TestInTx_ErrorRollsBack(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	_, f, _ := login(t, st)
	mine := errors.New("mine")
	err := st.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		if changed, err := tx.RevokeFamily(ctx, f.ID, family.ReasonLogout, "test"); err != nil || !changed {
			t.Errorf("revoked %v, error %v", changed, err)
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("error %v, want the callback's own", err)
	}
	if after := read(t, st, f.ID); after.RevokedAt != nil {
		t.Error("the revocation outlived the rollback")
	}
}

func TestInTx_RollsBackAtOnceWhenTheRequestIsCancelled(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	_, f, first := login(t, st)
	ctx, cancel := context.WithCancel(t.Context())
	err := st.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockFamily(ctx, f.ID); err != nil {
			return err
		}
		cancel()
		_, err := tx.LockFamily(ctx, f.ID)
		return err
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	rotate(t, st, f, first) // passes over a held family, so it would fail if the lock stood
}

func TestInTx_RunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	// The default of one second is longer than the lock time-out, which would end it first.
	db.Exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''10ms''', current_database()); END $$`)
	st := open(t, db, nil)
	_, a, _ := login(t, st)
	_, b, _ := login(t, st)
	var barrier sync.WaitGroup
	barrier.Add(2)
	cross := func(first, second uuid.UUID) error {
		var once sync.Once
		return st.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.LockFamily(ctx, first); err != nil {
				return err
			}
			once.Do(func() { barrier.Done(); barrier.Wait() })
			_, err := tx.LockFamily(ctx, second)
			return err
		})
	}
	errs := make(chan error, 2)
	go func() { errs <- cross(a.ID, b.ID) }()
	go func() { errs <- cross(b.ID, a.ID) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// Others may hold a row for a moment longer than the lock time-out: that alone is no 503.
func TestInTx_RunsAgainAfterALockTimeout(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, _ := login(t, st)
	holder, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT FROM token_families FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	runs := 0
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if runs++; runs == 2 {
			if err := holder.Rollback(ctx); err != nil {
				t.Error(err)
			}
		}
		_, err := tx.LockFamily(ctx, f.ID)
		return err
	})
	if runs != 2 {
		t.Errorf("ran %d times, want once more than the lock time-out", runs)
	}
}

func TestInTx_MakesAMissingPartition(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user := newUser(t, st)
	db.Advance(t, 300*24*time.Hour) // beyond all that the migrations made
	f, first := startFamily(t, st, user.ID)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		return tx.Append(ctx, &audit.Event{Kind: audit.LoginOK})
	})
	rotate(t, st, f, first)
	wantNoViolation(t, st)
}

func TestRotateFamily_MakesAMissingPartition(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, first := login(t, st)
	var leaf string
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT tableoid::regclass::text FROM refresh_tokens`).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `DROP TABLE `+leaf)
	rotate(t, st, f, first)
}

// The statements of a request may take 90 ms here, and this one takes longer.
func TestEnsurePartitions_TakesLongerThanAStatementMay(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `
		CREATE OR REPLACE FUNCTION testclock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
		    'SELECT pg_catalog.clock_timestamp() FROM pg_catalog.pg_sleep(0.2)'`)
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 100 * time.Millisecond, MaxLifetime: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if err := st.EnsurePartitions(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEnsurePartitions_ManyReplicasAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Advance(t, 300*24*time.Hour)
	st := open(t, db, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := st.EnsurePartitions(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var gaps, count int
	err := db.Conn(t).QueryRow(t.Context(), `
		WITH leaf AS (SELECT substring(relname from '[0-9]{8}$')::date AS monday FROM pg_class WHERE relname LIKE 'refresh_tokens_p%' AND relkind = 'r')
		SELECT count(*), count(*) FILTER (WHERE extract(isodow FROM monday) <> 1) FROM leaf
		 WHERE monday BETWEEN (clock_timestamp())::date - 7 AND (clock_timestamp())::date + 57`).Scan(&count, &gaps)
	if err != nil {
		t.Fatal(err)
	}
	if count < 9 || gaps != 0 {
		t.Errorf("%d weeks from today on, %d that do not begin on a Monday", count, gaps)
	}
}

func TestInsertUser_NameIsUniqueAmongTheLiving(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	insert := func(typed string) error {
		name, err := account.ParseUsername(typed)
		if err != nil {
			t.Fatal(err)
		}
		return st.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.InsertUser(ctx, uuid.Must(uuid.NewV7()), name, account.RoleUser, "$hash$")
			return err
		})
	}
	if err := insert("Zoë"); err != nil {
		t.Fatal(err)
	}
	if err := insert("ZOE\u0308"); !errors.Is(err, store.ErrUsernameTaken) {
		t.Errorf("the same name in capitals and decomposed: error %v, want ErrUsernameTaken", err)
	}
	db.Exec(t, `UPDATE users SET deleted_at = clock_timestamp(), username = NULL, username_key = NULL, password_hash = NULL`)
	if err := insert("zoë"); err != nil {
		t.Errorf("the name of a deleted user: %v", err)
	}
}

func TestCheckReady_SaysWhichCommandHelps(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	st := open(t, db, nil)
	var schema *store.SchemaError
	if err := st.CheckReady(t.Context()); !errors.As(err, &schema) || !strings.Contains(err.Error(), "kindred migrate up") {
		t.Errorf("an empty database: error %v", err)
	}
	if err := migrations.Up(t.Context(), db.URL(), func(string) {}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if err := st.CheckReady(t.Context()); err != nil {
		t.Errorf("a migrated database: %v", err)
	}
	if err := migrations.Down(t.Context(), db.URL(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	if err := st.CheckReady(t.Context()); !errors.As(err, &schema) || schema.Have >= schema.Need {
		t.Errorf("one migration behind: error %v", err)
	}
}

// As a replica of the release before sees it, on a schema that was brought up to the next one.
func TestCheckReady_OnANewerSchema(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	next := migrations.Latest() + 1
	db.Exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)`, next)
	if err := st.CheckReady(t.Context()); err != nil {
		t.Errorf("one that took nothing away: %v", err)
	}
	db.Exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION kindred_oldest_binary() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT %d::bigint'`, migrations.Latest()))
	if err := st.CheckReady(t.Context()); err != nil {
		t.Errorf("one for which this binary is just new enough: %v", err)
	}
	db.Exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION kindred_oldest_binary() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT %d::bigint'`, next))
	var schema *store.SchemaError
	err := st.CheckReady(t.Context())
	if !errors.As(err, &schema) || schema.Oldest != next || !strings.Contains(err.Error(), "upgrade this replica") || strings.Contains(err.Error(), "migrate") {
		t.Errorf("one that this binary is too old for: error %v", err)
	}
}

func TestCheckReady_ReadOnlyIsNotReady(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	if err := open(t, db, nil).CheckReady(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}
