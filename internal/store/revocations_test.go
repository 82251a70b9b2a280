package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

// What revokes writes the blacklist in the same statement, and tells which rows: until the last access token
// that was granted can have been signed, and verifiers with another clock have given it up.
func TestRevoke_WritesTheBlacklist(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	f := follow(t, db.URL())
	user, first, _ := login(t, st)
	second, _ := startFamily(t, st, user.ID)
	third, _ := startFamily(t, st, user.ID)
	var told []store.Revocation
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		if changed, err := tx.RevokeFamily(ctx, first.ID, family.ReasonLogout, "test"); err != nil || !changed {
			t.Errorf("revoked %v, error %v", changed, err)
		}
		if ended, err := tx.RevokeFamilies(ctx, user.ID, second.ID, family.ReasonSessionEnded, "test"); err != nil || len(ended) != 1 || ended[0] != third.ID {
			t.Errorf("ended %v, error %v", ended, err)
		}
		if changed, err := tx.DisableUser(ctx, user.ID); err != nil || !changed {
			t.Errorf("disabled %v, error %v", changed, err)
		}
		told = tx.Revoked()
		return nil
	})
	inTx(t, st, func(ctx context.Context, tx *store.Tx) error {
		for _, again := range []func(context.Context, uuid.UUID) (bool, error){
			func(ctx context.Context, id uuid.UUID) (bool, error) {
				return tx.RevokeFamily(ctx, first.ID, family.ReasonLogout, "test")
			},
			tx.DisableUser,
		} {
			if changed, err := again(ctx, user.ID); err != nil || changed {
				t.Errorf("revoked a second time: %v, error %v", changed, err)
			}
		}
		if list := tx.Revoked(); len(list) != 0 {
			t.Errorf("%d revocations of what had ended before", len(list))
		}
		return nil
	})
	read := readList(t, f, store.Beginning).Revocations
	if len(read) != 3 || len(told) != 3 {
		t.Fatalf("%d revocations read and %d told, want 3", len(read), len(told))
	}
	for i, r := range read {
		if told[i].Kind != r.Kind || told[i].Subject != r.Subject || told[i].Below != r.Below || !told[i].Until.Equal(r.Until) {
			t.Errorf("told of %+v, the list has %+v", told[i], r)
		}
	}
	for i, want := range []family.Family{first, third} {
		if r := read[i]; r.Kind != store.RevokedFamily || r.Subject != want.ID || r.Until.Sub(want.AccessUntil).Round(time.Millisecond) != 2*time.Minute {
			t.Errorf("revocation %+v of a family whose tokens live until %v", r, want.AccessUntil)
		}
	}
	if r := read[2]; r.Kind != store.RevokedUser || r.Subject != user.ID || r.Below != user.Version+1 || r.Until.Sub(db.Now()) < store.MaxAccessLifetime {
		t.Errorf("revocation %+v of a user of version %d", r, user.Version)
	}
}

func TestRevokeToken_SixteenOfAFamilyAndThenTheFamily(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	f := follow(t, db.URL())
	_, fam, _ := login(t, st)
	_, other, _ := login(t, st)
	revokeToken := func(familyID, tokenID uuid.UUID) (full bool) {
		t.Helper()
		inTx(t, st, func(ctx context.Context, tx *store.Tx) (err error) {
			full, err = tx.RevokeToken(ctx, familyID, tokenID, db.Now().Add(access))
			return err
		})
		return full
	}
	ids := make([]uuid.UUID, 16)
	for i := range ids {
		ids[i] = uuid.New()
		for range 2 { // once is enough
			if revokeToken(fam.ID, ids[i]) {
				t.Errorf("token %d is one too many", i+1)
			}
		}
	}
	if !revokeToken(fam.ID, uuid.New()) {
		t.Error("a seventeenth token of a family is listed")
	}
	if revokeToken(fam.ID, ids[0]) || revokeToken(other.ID, uuid.New()) {
		t.Error("a token that is listed, or another family's, is one too many")
	}
	list := readList(t, f, store.Beginning).Revocations
	if len(list) != len(ids)+1 || list[0].Kind != store.RevokedToken || list[0].Subject != ids[0] {
		t.Errorf("%d revocations, the first %+v", len(list), list[0])
	}
}

func TestPurgeRevocations_OnlyWhatHasExpired(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := open(t, db, nil)
	db.Exec(t, `
		INSERT INTO revocations (kind, subject, until)
		SELECT 'family', gen_random_uuid(), clock_timestamp() + interval '1 minute' FROM generate_series(1, 2500)`)
	kept := revoke(t, db.Conn(t), time.Hour)
	db.Advance(t, 2*time.Minute)
	if err := st.PurgeRevocations(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT count(*) FROM revocations`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d rows are left, error %v", left, err)
	}
	wantRead(t, "after the purge", readList(t, follow(t, db.URL()), store.Beginning), kept)
}

func TestStanding_EachEnd(t *testing.T) {
	t.Parallel()
	token := store.AccessToken{ID: uuid.MustParse("00000000-0000-0000-0000-000000000001"), KeyID: "key"}
	cases := map[string]struct {
		sql  string
		live bool
	}{
		"nothing":                  {``, true},
		"the family's own end":     {`UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = 'logout', revoked_by = ''`, false},
		"its token":                {`INSERT INTO revocations (kind, subject, family_id, until) VALUES ('token', '00000000-0000-0000-0000-000000000001', gen_random_uuid(), clock_timestamp())`, false},
		"a family of that id":      {`INSERT INTO revocations (kind, subject, until) VALUES ('family', '00000000-0000-0000-0000-000000000001', clock_timestamp())`, true},
		"another token":            {`INSERT INTO revocations (kind, subject, family_id, until) VALUES ('token', gen_random_uuid(), gen_random_uuid(), clock_timestamp())`, true},
		"all before now":           {`INSERT INTO revocations (kind, before, until) VALUES ('all', clock_timestamp(), clock_timestamp())`, false},
		"all before the token":     {`INSERT INTO revocations (kind, before, until) VALUES ('all', clock_timestamp() - interval '1 hour', clock_timestamp())`, true},
		"its key retired":          {`UPDATE signing_keys SET retired_at = clock_timestamp()`, false},
		"its key revoked":          {`UPDATE signing_keys SET revoked_at = clock_timestamp()`, false},
		"its key gone":             {`DELETE FROM signing_keys`, false},
		"the family's last moment": {`UPDATE testclock.shift SET ahead = '25 hours'`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			st := open(t, db, nil)
			user, f, _ := login(t, st)
			db.Exec(t, `
				INSERT INTO signing_keys (id, algorithm, private_key, published_at, sign_from)
				VALUES ('key', 'ES256', '', clock_timestamp(), clock_timestamp())`)
			token := token
			token.FamilyID, token.IssuedAt = f.ID, db.Now().Add(-time.Second)
			db.Exec(t, c.sql)
			standing, err := st.Standing(t.Context(), token)
			if err != nil || standing.Live != c.live || standing.User.ID != user.ID {
				t.Errorf("standing %+v, error %v, want live %v", standing, err, c.live)
			}
		})
	}
	st := open(t, testdb.New(t), nil)
	if _, err := st.Standing(t.Context(), store.AccessToken{FamilyID: uuid.New()}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such family: error %v, want ErrNotFound", err)
	}
}

// When the list is too long for the replicas' memory each check asks the database: it must not read it all.
func TestStanding_PlanUsesIndexesOfTheBlacklist(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	db.Exec(t, `
		INSERT INTO revocations (kind, subject, until)
		SELECT 'family', gen_random_uuid(), clock_timestamp() + interval '1 hour' FROM generate_series(1, 40000)`)
	for _, prepare := range []string{``, `ANALYZE revocations`} {
		db.Exec(t, prepare)
		plan := explainStatement(t, db, "force_generic_plan", `standing (uuid, uuid, timestamptz, text) AS `+store.StandingStatement,
			`gen_random_uuid(), gen_random_uuid(), now(), ''`)
		if seq := strings.Join(plan.find("Seq Scan"), " "); strings.Contains(seq, "revocations") {
			t.Errorf("the whole list is read: %s", seq)
		}
	}
}

func TestLooseSettings_NamesWhatBoundsTooLittle(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	if loose, err := open(t, db, nil).LooseSettings(t.Context()); err != nil || len(loose) != 0 {
		t.Errorf("of our own sessions: %q, error %v", loose, err)
	}
	db.Exec(t, `
		DO $$ BEGIN
		    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET lock_timeout = ''500ms''', current_user, current_database());
		    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET statement_timeout = ''5s''', current_user, current_database());
		    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET idle_in_transaction_session_timeout = ''8s''', current_user, current_database());
		END $$`)
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 5 * time.Second, MaxLifetime: lifetime, Pooled: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	loose, err := st.LooseSettings(t.Context())
	const want = "client_connection_check_interval is 0, not 250; plan_cache_mode is auto, not force_generic_plan; statement_timeout is 5000, not 4500"
	if got := strings.Join(loose, "; "); err != nil || got != want {
		t.Errorf("loose %q, error %v, want %q", got, err, want)
	}
}
