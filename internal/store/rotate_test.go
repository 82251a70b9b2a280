package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

func TestRotateFamily_MovesTheChainByOne(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user, f, first := login(t, st)
	db.Advance(t, time.Minute)

	second := newLink()
	grant, ok, err := st.RotateFamily(t.Context(), rotation(f, first, second))
	if err != nil || !ok {
		t.Fatalf("rotated %v, error %v", ok, err)
	}
	after := read(t, st, f.ID)
	if after.CurrentTokenID != second.id || after.CurrentHash != second.hash || after.Generation != 1 ||
		after.PreviousTokenID == nil || *after.PreviousTokenID != first.id || string(after.SuccessorSeal) != "sealed" {
		t.Errorf("family after the rotation: %+v", after)
	}
	if !after.ExpiresAt.Equal(f.ExpiresAt) {
		t.Errorf("the absolute expiry moved from %v to %v", f.ExpiresAt, after.ExpiresAt)
	}
	if want := grant.Now.Add(idle); !after.IdleExpiresAt.Equal(want) || !grant.IdleExpiresAt.Equal(want) {
		t.Errorf("idle expiry %v, granted %v, want %v", after.IdleExpiresAt, grant.IdleExpiresAt, want)
	}
	if want := grant.Now.Add(access); !after.AccessUntil.Equal(want) || !grant.AccessExpiresAt.Equal(want) {
		t.Errorf("access until %v, granted %v, want %v", after.AccessUntil, grant.AccessExpiresAt, want)
	}
	if after.LastUserAgent != "test/2" || after.LastAddress.String() != "2001:db8::7" || after.FirstUserAgent != "test/1" {
		t.Errorf("seen first by %q, last by %q from %v", after.FirstUserAgent, after.LastUserAgent, after.LastAddress)
	}
	if grant.User.ID != user.ID || grant.User.Role != user.Role || grant.FamilyID != f.ID || grant.Generation != 1 {
		t.Errorf("granted %+v", grant)
	}
	wantNoViolation(t, st)
}

func TestRotateFamily_NoLifetimeGoesBeyondTheFamily(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, token := login(t, st)
	for range 24 {
		db.Advance(t, idle-time.Minute)
		next := newLink()
		grant, ok, err := st.RotateFamily(t.Context(), rotation(f, token, next))
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if grant.IdleExpiresAt.After(f.ExpiresAt) || grant.AccessExpiresAt.After(f.ExpiresAt) {
			t.Errorf("granted until %v and %v, family ends %v", grant.IdleExpiresAt, grant.AccessExpiresAt, f.ExpiresAt)
		}
		token = next
	}
	if after := read(t, st, f.ID); after.Generation < 20 || !after.IdleExpiresAt.Equal(f.ExpiresAt) {
		t.Errorf("generation %d, idle until %v: the test did not come to the end of the family", after.Generation, after.IdleExpiresAt)
	}
	wantNoViolation(t, st)
}

// Each line breaks one condition of the guard; the rotation must then change nothing at all (I9).
func TestRotateFamily_GuardHoldsEachCondition(t *testing.T) {
	t.Parallel()
	cases := map[string]func(t *testing.T, db *testdb.DB, r *store.Rotation){
		"another token":   func(_ *testing.T, _ *testdb.DB, r *store.Rotation) { r.TokenID = uuid.New() },
		"another hash":    func(_ *testing.T, _ *testdb.DB, r *store.Rotation) { r.TokenHash[0]++ },
		"another client":  func(_ *testing.T, _ *testdb.DB, r *store.Rotation) { r.ClientID = "other" },
		"another family":  func(_ *testing.T, _ *testdb.DB, r *store.Rotation) { r.FamilyID = uuid.New() },
		"idle expiry":     func(t *testing.T, db *testdb.DB, _ *store.Rotation) { db.Advance(t, idle) },
		"absolute expiry": func(t *testing.T, db *testdb.DB, _ *store.Rotation) { db.Advance(t, lifetime) },
		"revoked family":  exec("UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = 'logout', revoked_by = ''"),
		"disabled user":   exec("UPDATE users SET disabled_at = clock_timestamp()"),
		"deleted user":    exec("UPDATE users SET deleted_at = clock_timestamp(), username = NULL, username_key = NULL, password_hash = NULL"),
	}
	for name, breakIt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			st := open(t, db, nil)
			_, f, first := login(t, st)
			r := rotation(f, first, newLink())
			breakIt(t, db, &r)
			conn := db.Conn(t)
			before := snapshot(t, conn)
			if _, ok, err := st.RotateFamily(t.Context(), r); ok || err != nil {
				t.Errorf("rotated %v, error %v", ok, err)
			}
			if after := snapshot(t, conn); after != before {
				t.Errorf("the refused rotation changed the database from %s to %s", before, after)
			}
		})
	}
}

func exec(statement string) func(*testing.T, *testdb.DB, *store.Rotation) {
	return func(t *testing.T, db *testdb.DB, _ *store.Rotation) { db.Exec(t, statement) }
}

func snapshot(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	var all string
	err := conn.QueryRow(t.Context(), `
		SELECT coalesce(jsonb_agg(f ORDER BY f.id), '[]')::text || (SELECT coalesce(jsonb_agg(t ORDER BY t.id), '[]')::text FROM refresh_tokens t)
		  FROM token_families f`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRotateFamily_OneStatementOneRoundTrip(t *testing.T) {
	t.Parallel()
	counted := &statements{}
	st := open(t, testdb.New(t), counted)
	_, f, token := login(t, st)
	token = rotate(t, st, f, token) // prepares the statement on this connection
	counted.take()
	rotate(t, st, f, token)
	if list := counted.take(); len(list) != 1 {
		t.Errorf("%d statements for a rotation: %q", len(list), list)
	}
}

func TestRotateFamily_PassesOverAFamilyThatIsHeld(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	_, f, first := login(t, st)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockFamily(ctx, f.ID); err != nil {
			return err
		}
		_, ok, err := st.RotateFamily(ctx, rotation(f, first, newLink()))
		if ok {
			t.Error("rotated a family that another transaction holds")
		}
		return err
	})
	rotate(t, st, f, first)
}

func TestRotateFamily_OfManyAtOnceOneWins(t *testing.T) {
	t.Parallel()
	st := open(t, testdb.New(t), nil)
	_, f, token := login(t, st)
	for range 20 {
		const racers = 16
		var wg sync.WaitGroup
		var mu sync.Mutex
		var winners []link
		for range racers {
			wg.Go(func() {
				child := newLink()
				_, ok, err := st.RotateFamily(t.Context(), rotation(f, token, child))
				if err != nil {
					t.Error(err)
				}
				if ok {
					mu.Lock()
					defer mu.Unlock()
					winners = append(winners, child)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d of %d rotations with the same token won", len(winners), racers)
		}
		token = winners[0]
	}
	wantNoViolation(t, st)
}

// A plan that reads a table from end to end would be fine in every other test and a disaster later.
func TestRotateFamily_PlanUsesPrimaryKeysOnly(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, first := login(t, st)
	db.Exec(t, `
		INSERT INTO users (id, username, username_key, role, password_hash, created_at, password_changed_at)
		SELECT gen_random_uuid(), 'u' || i, 'u' || i, 'user', '$', clock_timestamp(), clock_timestamp() FROM generate_series(1, 20000) i`)
	db.Exec(t, `
		INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id,
		       current_hash, rotated_at, idle_expires_at, access_until)
		SELECT gen_random_uuid(), f.user_id, f.client_id, f.created_at, f.auth_time, f.expires_at, f.expires_on, gen_random_uuid(),
		       f.current_hash, f.rotated_at, f.idle_expires_at, f.access_until
		  FROM token_families f, generate_series(1, 40000)`)
	db.Exec(t, `
		INSERT INTO refresh_tokens (id, expires_on, family_id, token_hash, generation, issued_at, expires_at)
		SELECT current_token_id, expires_on, id, current_hash, 0, created_at, idle_expires_at FROM token_families WHERE id <> '`+f.ID.String()+`'`)
	db.Exec(t, `ANALYZE`)

	plan := explain(t, db, rotation(f, first, newLink()))
	if seq := plan.find("Seq Scan"); len(seq) > 0 {
		t.Errorf("whole tables are read: %v", seq)
	}
	indexes := plan.find("Index Scan")
	for _, index := range indexes {
		if !strings.HasSuffix(index, "_pkey") {
			t.Errorf("an index that is no primary key is used: %s", index)
		}
	}
	if len(indexes) < 3 {
		t.Errorf("indexes used: %v, want the families' twice and the users'", indexes)
	}
}

type planNode struct {
	Kind  string     `json:"Node Type"`
	Table string     `json:"Relation Name"`
	Index string     `json:"Index Name"`
	Cond  string     `json:"Index Cond"`
	Plans []planNode `json:"Plans"`
}

// find lists table and index of each node of a kind.
func (n planNode) find(kind string) []string {
	var found []string
	if n.Kind == kind || kind == "Index Scan" && (n.Kind == "Index Only Scan" || n.Kind == "Bitmap Index Scan") {
		found = append(found, strings.TrimSpace(n.Table+" "+n.Index))
	}
	for _, child := range n.Plans {
		found = append(found, child.find(kind)...)
	}
	return found
}

// explain asks for the generic plan, the one that the server's sessions are told to use.
func explain(t *testing.T, db *testdb.DB, r store.Rotation) planNode {
	t.Helper()
	arguments := fmt.Sprintf(`ARRAY['%s']::uuid[], ARRAY['%s']::uuid[], ARRAY['\x%x']::bytea[], ARRAY['%s'], ARRAY['%s']::uuid[], ARRAY['\x%x']::bytea[],
		ARRAY['\x00']::bytea[], ARRAY['ua'], ARRAY['192.0.2.1']::inet[], '1h', '5m'`, r.FamilyID, r.TokenID, r.TokenHash, r.ClientID, r.ChildID, r.ChildHash)
	return explainStatement(t, db, "force_generic_plan",
		`rotate (uuid[], uuid[], bytea[], text[], uuid[], bytea[], bytea[], text[], inet[], interval, interval) AS `+store.RotateStatement, arguments)
}

// now() is as old as the transaction, and with it as the wait for the family's lock.
func TestRotateFamily_ReadsTheClockAfterTheWait(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, first := login(t, st)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockFamily(ctx, f.ID); err != nil {
			return err
		}
		db.Advance(t, idle/2)
		grant, ok, err := tx.RotateFamily(ctx, rotation(f, first, newLink()))
		if err != nil || !ok {
			t.Errorf("rotated %v, error %v", ok, err)
		}
		if waited := grant.Now.Sub(f.RotatedAt); waited < idle/2 {
			t.Errorf("rotated %v after the login by the statement's clock, want %v at least", waited, idle/2)
		}
		return nil
	})
}
