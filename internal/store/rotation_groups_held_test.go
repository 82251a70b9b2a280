package store_test

import (
	"sync"
	"testing"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

// group has the first two of the chains under way and the others wait for them, as the next group, until release.
func group(t testing.TB, db *testdb.DB, st *store.Store, list []*chain, ended func(i int, ok bool, err error)) (release func()) {
	t.Helper()
	watch := db.Conn(t)
	before := held(t, db)
	var requests sync.WaitGroup
	begin := func(from, to int) {
		for i := from; i < to; i++ {
			requests.Go(func() {
				ok, err := list[i].rotate(t.Context(), st)
				ended(i, ok, err)
			})
		}
	}
	begin(0, 2)
	eventually(t.Context(), func() bool { return waiting(t, watch) == 2 })
	begin(2, len(list))
	eventually(t.Context(), func() bool { return st.WaitingRotations() == len(list)-2 })
	return func() { before(); requests.Wait() }
}

// Somebody holds one family of a group, for longer than anybody waits. The others are rotated meanwhile, and
// the one has nothing to rotate.
func TestRotateFamily_NobodyWaitsForANeighboursHolder(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := patientStore(t, db, nil)
	list := chains(t, st, 12)
	const taken = 5
	holder, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT FROM token_families WHERE id = $1 FOR UPDATE`, list[taken].ID); err != nil {
		t.Fatal(err)
	}
	release := group(t, db, st, list, func(i int, ok bool, err error) {
		if ok == (i == taken) || err != nil {
			t.Errorf("family %d: rotated %v, error %v", i, ok, err)
		}
	})
	release() // and all have ended before the holder does
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok, err := list[taken].rotate(t.Context(), st); !ok || err != nil {
		t.Errorf("after the holder: rotated %v, error %v", ok, err)
	}
	wantNoViolation(t, st)
}

// A group's statement is the victim of a deadlock. Each of its rotations then runs alone, and is none.
func TestRotateFamily_DeadlockOfAGroupIsNobodys(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st := patientStore(t, db, nil)
	list := chains(t, st, 12)
	db.Exec(t, `
		CREATE SEQUENCE victims;
		CREATE FUNCTION be_the_victim() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
		    IF (SELECT count(*) FROM added) > 1 THEN
		        PERFORM nextval('victims');
		        RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected';
		    END IF;
		    RETURN NULL;
		END $$;
		CREATE TRIGGER be_the_victim AFTER INSERT ON refresh_tokens REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION be_the_victim()`)
	release := group(t, db, st, list, func(i int, ok bool, err error) {
		if !ok || err != nil {
			t.Errorf("family %d: rotated %v, error %v", i, ok, err)
		}
	})
	release()
	var victims int
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT last_value FROM victims WHERE is_called`).Scan(&victims); err != nil || victims == 0 {
		t.Errorf("%d groups were a deadlock's victim, error %v", victims, err)
	}
	for i, c := range list {
		if f := read(t, st, c.ID); f.CurrentTokenID != c.current.id || f.Generation != 1 {
			t.Errorf("family %d: generation %d, another current token %v", i, f.Generation, f.CurrentTokenID != c.current.id)
		}
	}
	wantNoViolation(t, st)
}
