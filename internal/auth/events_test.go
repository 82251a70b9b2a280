package auth_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// An event that was written earlier and becomes known later than another: a follower is told of both.
func TestFollowEvents_MissesNoneThatIsCommittedLate(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	user := r.addUser(t, "ana")
	conn := db.Conn(t)
	late, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lateID := uuid.New()
	if _, err := late.Exec(t.Context(), `INSERT INTO audit_events (id, at, kind, user_id) VALUES ($1, clock_timestamp(), 'logout', $2)`, lateID, user.ID); err != nil {
		t.Fatal(err)
	}
	r.login(t, "ana")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := make(chan audit.Event)
	var following sync.WaitGroup
	following.Go(func() {
		err := r.FollowEvents(ctx, auth.EventQuery{User: "ana", Since: user.CreatedAt}, func(e audit.Event) error {
			select {
			case told <- e:
			case <-ctx.Done():
			}
			return nil
		}, func(err error) { t.Error(err) })
		if err != nil {
			t.Error(err)
		}
	})
	kinds := []audit.Kind{(<-told).Kind, (<-told).Kind}
	if !slices.Equal(kinds, []audit.Kind{audit.UserCreated, audit.LoginOK}) {
		t.Errorf("told of %v before the late one", kinds)
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.login(t, "ana")
	r.login(t, "ana") // so that a follower that misses the late one has something to tell
	// In one reading or in two, the older comes first, each once.
	next := []audit.Kind{(<-told).Kind, (<-told).Kind}
	slices.Sort(next)
	if !slices.Equal(next, []audit.Kind{audit.LoginOK, audit.Logout}) {
		t.Errorf("told of %v, want the late one and the next login", next)
	}
	stop()
	following.Wait()
}

// A long trail is told page by page. Trouble in the middle costs no event, and none is told twice, in that
// reading or in those that read the last minute again.
func TestFollowEvents_TellsOfEachOnceAcrossPagesAndTrouble(t *testing.T) {
	t.Parallel()
	const rows, troubled = 3500, 1200
	db := testdb.New(t)
	r := newReplica(t, db)
	db.Exec(t, `
		INSERT INTO audit_events (id, at, kind)
		SELECT gen_random_uuid(), date_trunc('week', clock_timestamp()) + interval '1 week' - i * interval '50 ms', 'logout' FROM generate_series(1, $1) i`, rows)
	weekEnds := one[time.Time](t, db, `SELECT date_trunc('week', clock_timestamp()) + interval '1 week'`)
	db.Advance(t, weekEnds.Sub(db.Now()))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := map[uuid.UUID]int{}
	var last audit.Event
	tell := func(e audit.Event) error {
		told[e.ID]++
		switch {
		case e.At.Before(last.At):
			t.Errorf("%v is told behind %v", e.At, last.At)
		case len(told) == troubled:
			db.Exec(t, `ALTER TABLE audit_events RENAME TO elsewhere`)
		case len(told) == rows:
			db.Exec(t, `INSERT INTO audit_events (id, at, kind) VALUES (gen_random_uuid(), clock_timestamp(), 'login_ok')`)
		case e.Kind == audit.LoginOK:
			stop()
		}
		last = e
		return nil
	}
	troubles := 0
	err := r.FollowEvents(ctx, auth.EventQuery{Since: weekEnds.Add(-time.Hour)}, tell, func(err error) {
		troubles++
		if !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("trouble: %v", err)
		}
		db.Exec(t, `ALTER TABLE elsewhere RENAME TO audit_events`)
	})
	if err != nil || troubles != 1 || len(told) != rows+1 {
		t.Errorf("%d troubles, %d events told, error %v", troubles, len(told), err)
	}
	for id, times := range told {
		if times != 1 {
			t.Errorf("%s is told %d times", id, times)
		}
	}
}

func TestFollowEvents_EndsWithAnErrorOfWhoIsTold(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	user := r.addUser(t, "ana")
	broken := errors.New("broken pipe")
	err := r.FollowEvents(t.Context(), auth.EventQuery{Since: user.CreatedAt}, func(audit.Event) error { return broken }, func(err error) { t.Error(err) })
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestEvents_RefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	for name, q := range map[string]auth.EventQuery{"family": {FamilyID: "x"}, "kind": {Kinds: []string{"login_ok", ""}}} {
		_, err := r.Events(t.Context(), q, auth.Page{Limit: 10})
		var wrong *auth.QueryError
		if !errors.As(err, &wrong) || wrong.Parameter != name {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := r.Events(t.Context(), auth.EventQuery{User: "nobody"}, auth.Page{Limit: 10}); !errors.Is(err, auth.ErrUserNotFound) {
		t.Errorf("error %v, want ErrUserNotFound", err)
	}
	gone := uuid.NewString() // of a user who was deleted, perhaps
	if page, err := r.Events(t.Context(), auth.EventQuery{User: gone}, auth.Page{Limit: 10}); err != nil || len(page.Events) != 0 {
		t.Errorf("%d events, error %v", len(page.Events), err)
	}
}
