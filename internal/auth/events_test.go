package auth_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

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
	// In one reading or in two, each is told of once.
	next := []audit.Kind{(<-told).Kind, (<-told).Kind}
	slices.Sort(next)
	if !slices.Equal(next, []audit.Kind{audit.LoginOK, audit.Logout}) {
		t.Errorf("told of %v, want the late one and the next login", next)
	}
	stop()
	following.Wait()
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
