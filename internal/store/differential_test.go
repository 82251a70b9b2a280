package store_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

const interval = 10 * time.Second

// The rules are written down twice: in Judge, and in the guard of the one statement. In random states of
// the database, whether or not the product could have got there, the statement rotates if and only if
// Judge says so, and leaves everything as it was if not. The clock stands still, so that expiries are
// tried on the very instant. For longer: go test ./internal/store -run Differential -rapid.checks=1000
func TestDifferential_StatementRotatesIfAndOnlyIfJudgeSaysSo(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	// Two weeks ahead there are partitions on either side.
	now := db.Now().AddDate(0, 0, 14).Truncate(time.Second)
	db.Freeze(t, now)
	st, conn := open(t, db, nil), db.Conn(t)
	login(t, st) // somebody else, enabled, whom nothing may touch
	user := newUser(t, st)
	judged := map[family.Verdict]int{}

	testdb.Check(t, func(c testdb.CheckT) {
		c.Repeat(map[string]func(*rapid.T){"present": func(r *rapid.T) {
			s := drawState(r, now, user.ID)
			s.write(c, conn)
			before := snapshot(c, conn)
			verdict := s.judge(c, st)
			judged[verdict]++
			_, ok, err := st.RotateFamily(c.Context(), s.rotation())
			if err != nil {
				c.Fatal(err)
			}
			if ok != (verdict == family.VerdictRotate) {
				c.Errorf("judged %v, rotated %v", verdict, ok)
			}
			if after := snapshot(c, conn); (after != before) != ok {
				c.Errorf("rotated %v, and the database went from %s to %s", ok, before, after)
			}
		}})
	})
	for verdict := family.VerdictWrongClient; verdict <= family.VerdictTokenLost; verdict++ {
		t.Logf("%d states judged %v", judged[verdict], verdict)
		if judged[verdict] == 0 {
			t.Errorf("no state was judged %v", verdict)
		}
	}
}

// state is a family with its user and its tokens, and the token that is presented.
type state struct {
	family            family.Family
	disabled, deleted *time.Time // the user
	tokens            []family.RefreshToken
	presented         link
	client            string // who presents it
}

var strange = [32]byte{0xff} // a hash of no token

// linkOf is the token of a generation.
func linkOf(generation int) link {
	return link{id: uuid.UUID{15: byte(0x10 + generation)}, hash: [32]byte{byte(0x10 + generation)}}
}

// drawState breaks each condition rarely: else hardly any state would be one that rotates.
func drawState(r *rapid.T, now time.Time, userID uuid.UUID) state {
	rarely := func(label string) bool { return rapid.IntRange(0, 9).Draw(r, label) == 9 }
	at := func(label string, distances ...time.Duration) time.Time {
		return now.Add(rapid.SampledFrom(distances).Draw(r, label))
	}
	rarelyAt := func(label string) *time.Time {
		if !rarely(label) {
			return nil
		}
		instant := at(label+" at", -time.Hour, 0, time.Hour)
		return &instant
	}
	client := func(label string) string {
		if rarely(label) {
			return "another"
		}
		return family.DefaultClient
	}
	generation := rapid.IntRange(0, 3).Draw(r, "generation")
	expires := at("expires", time.Hour, time.Minute, time.Microsecond, 0, -time.Microsecond, time.Hour)
	f := familyAt(expires.Add(-lifetime), userID, linkOf(generation))
	f.IdleExpiresAt = at("idle", time.Hour, time.Minute, time.Microsecond, 0, -time.Microsecond, time.Hour)
	if f.IdleExpiresAt.After(expires) {
		f.IdleExpiresAt = expires
	}
	f.ClientID = client("another client's")
	f.Generation = int64(generation)
	f.RotatedAt = at("rotated", 0, -interval+time.Microsecond, -interval, -time.Hour)
	f.RevokedAt = rarelyAt("revoked")
	f.LastUserAgent, f.LastAddress = "test/1", netip.MustParseAddr("2001:db8:1::7") // another party than rotation is
	f.ForeignReplays.InARow = rapid.SampledFrom([]int{0, family.PacedTheft}).Draw(r, "foreign replays")
	f.ForeignReplays.Latest = f.Generation
	s := state{family: f, disabled: rarelyAt("disabled"), deleted: rarelyAt("deleted"), client: client("by another client")}
	var parent *uuid.UUID
	for g := range generation + 1 {
		token := family.RefreshToken{ID: linkOf(g).id, Hash: linkOf(g).hash, ParentID: parent, Generation: int64(g)}
		s.family.PreviousTokenID, parent = parent, &token.ID
		if rarely("with another hash") {
			token.Hash = strange
		}
		if !rarely("lost") {
			s.tokens = append(s.tokens, token)
		}
	}
	// Back beyond the root, or one ahead: an id that no token has.
	s.presented = linkOf(generation - rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, -1, 1}).Draw(r, "generations back"))
	if rarely("presented with another hash") {
		s.presented.hash = rapid.SampledFrom([][32]byte{strange, f.CurrentHash}).Draw(r, "hash")
	}
	return s
}

// write puts the state into the database in place of the one before, past the product.
func (s state) write(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	f := s.family
	var seal, reason any
	if f.Generation > 0 {
		seal = []byte("sealed")
	}
	if f.RevokedAt != nil {
		reason = family.ReasonLogout
	}
	var batch pgx.Batch
	batch.Queue(`DELETE FROM refresh_tokens WHERE family_id IN (SELECT id FROM token_families WHERE user_id = $1)`, f.UserID)
	batch.Queue(`DELETE FROM token_families WHERE user_id = $1`, f.UserID)
	batch.Queue(`
		UPDATE users SET disabled_at = $2, deleted_at = $3::timestamptz,
		       username = CASE WHEN $3 IS NULL THEN 'ana' END, username_key = CASE WHEN $3 IS NULL THEN 'ana' END,
		       password_hash = CASE WHEN $3 IS NULL THEN '$hash$' END
		 WHERE id = $1`, f.UserID, s.disabled, s.deleted)
	batch.Queue(`
		INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id, current_hash,
		       previous_token_id, generation, rotated_at, idle_expires_at, access_until, successor_seal, revoked_at, revoked_reason, revoked_by,
		       last_user_agent, last_address, foreign_replays, foreign_replay_generation)
		VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15::text, $15::text, $16, $17, $18, $19)`,
		f.ID, f.UserID, f.ClientID, f.CreatedAt, f.ExpiresAt, f.ExpiresOn, f.CurrentTokenID, f.CurrentHash[:],
		f.PreviousTokenID, f.Generation, f.RotatedAt, f.IdleExpiresAt, seal, f.RevokedAt, reason,
		f.LastUserAgent, f.LastAddress, f.ForeignReplays.InARow, f.ForeignReplays.Latest)
	for _, token := range s.tokens {
		batch.Queue(`
			INSERT INTO refresh_tokens (id, expires_on, family_id, parent_id, token_hash, generation, issued_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			token.ID, f.ExpiresOn, f.ID, token.ParentID, token.Hash[:], token.Generation, f.CreatedAt, f.IdleExpiresAt)
	}
	if err := conn.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
}

// judge asks Judge, as a refresh does that the statement turned away.
func (s state) judge(t testing.TB, st *store.Store) (verdict family.Verdict) {
	t.Helper()
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		f, err := tx.LockFamily(ctx, s.family.ID)
		if err != nil {
			return err
		}
		evidence, err := tx.Evidence(ctx, f, s.presented.id)
		if err != nil {
			return err
		}
		by := s.rotation()
		presented := family.Presented{
			TokenID: by.TokenID, Hash: by.TokenHash, ClientID: by.ClientID, Row: evidence.Row,
			UserAgent: by.UserAgent, Address: by.Address,
		}
		policy := family.Policy{ReuseInterval: interval, RevokePacedTheft: true}
		verdict = policy.Judge(f, evidence.User.Enabled(), presented, evidence.Clock)
		return nil
	})
	return verdict
}

func (s state) rotation() store.Rotation {
	r := rotation(s.family, s.presented, newLink())
	r.ClientID = s.client
	return r
}
