package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// grow appends generations to a family by hand, many in one statement, and makes the last one current.
func grow(t testing.TB, db *testdb.DB, f family.Family, generations int) {
	t.Helper()
	db.Exec(t, `
		WITH ids AS MATERIALIZED (SELECT n, CASE n WHEN 0 THEN $2::uuid ELSE gen_random_uuid() END AS id FROM generate_series(0, $4::int) AS n),
		links AS (SELECT n, id, lag(id) OVER (ORDER BY n) AS parent FROM ids),
		appended AS (
		    INSERT INTO refresh_tokens (id, expires_on, family_id, parent_id, token_hash, generation, issued_at, expires_at, user_agent, address)
		    SELECT id, $3, $1, parent, sha256(id::text::bytea), n, clock_timestamp(), clock_timestamp(), 'grown/' || n, '192.0.2.1' FROM links WHERE n > 0)
		UPDATE token_families f SET current_token_id = l.id, current_hash = sha256(l.id::text::bytea), previous_token_id = l.parent, generation = l.n, successor_seal = 'x'
		  FROM links l WHERE l.n = $4 AND f.id = $1`, f.ID, f.CurrentTokenID, f.ExpiresOn, generations)
}

func lineage(t testing.TB, st *store.Store, id uuid.UUID, tokens int) store.Lineage {
	t.Helper()
	l, err := st.Lineage(t.Context(), id, tokens)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func numbers(tokens []family.RefreshToken) []int64 {
	var list []int64
	for _, token := range tokens {
		list = append(list, token.Generation)
	}
	return list
}

func TestLineage_FollowsTheParentLinks(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user, f, first := login(t, st)
	startFamily(t, st, user.ID) // another one, in the same partition
	second := rotate(t, st, f, first)
	third := rotate(t, st, f, second)
	l := lineage(t, st, f.ID, 100)
	if l.Family == nil || l.Family.ID != f.ID || l.Username != user.Username || l.Now.IsZero() || len(l.Tokens) != 3 {
		t.Fatalf("%+v", l)
	}
	for i, want := range []link{first, second, third} {
		if got := l.Tokens[i]; got.ID != want.id || got.Generation != int64(i) || got.Hash != [32]byte{} {
			t.Errorf("generation %d is %+v", i, got)
		}
	}
	if l.Tokens[0].UserAgent != "test/1" || l.Tokens[2].UserAgent != "test/2" || l.Tokens[2].Address != netip.MustParseAddr("2001:db8::7") {
		t.Errorf("%+v", l.Tokens)
	}
}

func TestLineage_OfALongChainTheNewestAndOnToTheCopy(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, _ := login(t, st)
	grow(t, db, f, 20_000)
	if l := lineage(t, st, f.ID, 3); len(l.Tokens) != 3 || l.Tokens[0].Generation != 19_998 {
		t.Errorf("the newest three are %v", numbers(l.Tokens))
	}
	if l := lineage(t, st, f.ID, 1<<30); len(l.Tokens) != 20_001 {
		t.Errorf("of 20001 there are %d", len(l.Tokens))
	}
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		return tx.Append(ctx, &audit.Event{Kind: audit.ReuseDetected, FamilyID: uuid.NullUUID{UUID: f.ID, Valid: true}, Detail: map[string]any{"presented_generation": 17}})
	})
	l := lineage(t, st, f.ID, 2)
	if got := numbers(l.Tokens); len(got) != 19_985 || got[0] != 16 {
		t.Errorf("%d tokens from %d on, want those from 16 on", len(got), got[0])
	}
}

// A join would read the whole family for each of its generations, which the planner likes: it does not know
// that a step finds one token.
func TestLineage_PlanIsOneLookAStep(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, first := login(t, st)
	grow(t, db, f, 5000)
	for _, prepare := range []string{``, `ANALYZE refresh_tokens`} {
		db.Exec(t, prepare)
		plan := explainStatement(t, db, "force_generic_plan", `chain (date, uuid, uuid, bigint) AS `+store.ChainStatement,
			fmt.Sprintf(`'%s', '%s', '%s', 0`, f.ExpiresOn.Format(time.DateOnly), first.id, f.ID))
		joins := slices.Concat(plan.find("Hash Join"), plan.find("Merge Join"))
		if len(joins) > 0 || len(plan.find("Nested Loop")) != 1 || !strings.Contains(strings.Join(plan.find("Index Scan"), " "), "_pkey") {
			t.Errorf("after %q: %d other joins, indexes %v", prepare, len(joins), plan.find("Index Scan"))
		}
	}
}

func TestLineage_OfAPurgedFamilyTheTrailIsLeft(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	_, f, _ := login(t, st)
	id := uuid.NullUUID{UUID: f.ID, Valid: true}
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Append(ctx, &audit.Event{Kind: audit.LoginOK, FamilyID: id}); err != nil {
			return err
		}
		return tx.Append(ctx, &audit.Event{Kind: audit.Logout, FamilyID: id, RequestID: "r-1"})
	})
	db.Exec(t, `DELETE FROM refresh_tokens`)
	if l := lineage(t, st, f.ID, 10); l.Family == nil || len(l.Tokens) != 0 || len(l.Events) != 2 || l.Events[1].Kind != audit.Logout || l.Events[1].RequestID != "r-1" {
		t.Errorf("%+v", l)
	}
	db.Exec(t, `DELETE FROM token_families`)
	if l := lineage(t, st, f.ID, 10); l.Family != nil || len(l.Events) != 2 || l.Now.IsZero() {
		t.Errorf("%+v", l)
	}
	if l := lineage(t, st, uuid.New(), 10); l.Family != nil || len(l.Events) != 0 {
		t.Errorf("of nothing %+v", l)
	}
}

// before runs something when a statement that contains a text is about to be sent, once.
type before struct {
	text string
	do   func()
}

func (b *before) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if do := b.do; do != nil && strings.Contains(data.SQL, b.text) {
		b.do = nil
		do()
	}
	return ctx
}

func (*before) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestLineage_IsOfOneSnapshot(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	other, between := open(t, db, nil), &before{text: "FROM audit_events"}
	_, f, _ := login(t, other)
	between.do = func() {
		inTx(t, other, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.RevokeFamily(ctx, f.ID, family.ReasonLogout, "cli"); err != nil {
				return err
			}
			return tx.Append(ctx, &audit.Event{Kind: audit.FamilyRevoked, FamilyID: uuid.NullUUID{UUID: f.ID, Valid: true}})
		})
	}
	st := open(t, db, between)
	if l := lineage(t, st, f.ID, 10); between.do != nil || l.Family.RevokedAt != nil || len(l.Events) != 0 {
		t.Errorf("a family that lives beside the events of its end: %+v", l)
	}
	if l := lineage(t, st, f.ID, 10); l.Family.RevokedAt == nil || len(l.Events) != 1 {
		t.Errorf("afterwards %+v", l)
	}
}

// Explaining holds up nobody, and nobody holds it up.
func TestLineage_WaitsForNoLock(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user, f, _ := login(t, st)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockUser(ctx, user.ID); err != nil {
			return err
		}
		if _, err := tx.LockFamily(ctx, f.ID); err != nil {
			return err
		}
		if l := lineage(t, st, f.ID, 10); len(l.Tokens) != 1 {
			t.Errorf("%+v", l)
		}
		return nil
	})
}

func TestFamilyPage_EndedOnesTooNewestFirst(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	user, first, _ := login(t, st)
	second, _ := startFamily(t, st, user.ID)
	login(t, st) // somebody else
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.RevokeFamily(ctx, first.ID, family.ReasonLogout, "cli")
		return err
	})
	list, more, now, err := st.FamilyPage(t.Context(), user.ID, nil, uuid.Max, 10)
	if err != nil || more || len(list) != 2 || list[0].ID != second.ID || list[1].ID != first.ID || list[1].RevokedAt == nil || time.Since(now) > time.Hour {
		t.Errorf("%v at %v, error %v", list, now, err)
	}
	if list, more, _, err := st.FamilyPage(t.Context(), user.ID, nil, uuid.Max, 1); err != nil || !more || len(list) != 1 || list[0].ID != second.ID {
		t.Errorf("of one %v, error %v", list, err)
	}
}

func TestEventsOfRequest_InTheirOrder(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		for _, e := range []audit.Event{{Kind: audit.LoginOK, RequestID: "a"}, {Kind: audit.Logout, RequestID: "b"}, {Kind: audit.LoginRefused, RequestID: "a"}, {Kind: audit.UserCreated}} {
			if err := tx.Append(ctx, &e); err != nil {
				return err
			}
		}
		return nil
	})
	events, err := st.EventsOfRequest(t.Context(), "a", 10)
	if err != nil || len(events) != 2 || events[0].Kind != audit.LoginOK || events[1].Kind != audit.LoginRefused {
		t.Errorf("%+v, error %v", events, err)
	}
	for _, nobody := range []string{"", "c"} {
		if events, err := st.EventsOfRequest(t.Context(), nobody, 10); err != nil || len(events) != 0 {
			t.Errorf("of %q %+v, error %v", nobody, events, err)
		}
	}
}
