package auth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"kindred/internal/audit"
	"kindred/internal/store"
)

// EventQuery says which events are wanted; what is empty narrows nothing.
type EventQuery struct {
	User      string // name or id; of a deleted user only the id is known
	FamilyID  string
	Kinds     []string
	RequestID string
	Since     time.Time // at or after
	Until     time.Time // before
}

// EventPage is a page of the audit trail, the newest first.
type EventPage struct {
	Events []audit.Event
	Next   string // the cursor of the next page; empty: this is the last
}

// Events reads the audit trail. An event is seen once its transaction has ended, so that for some seconds
// one may still come that is older than the newest. Errors: *QueryError; ErrUserNotFound.
func (s *Service) Events(ctx context.Context, q EventQuery, p Page) (EventPage, error) {
	wanted, err := s.eventQuery(ctx, q)
	if err != nil {
		return EventPage{}, err
	}
	if err := p.check(); err != nil {
		return EventPage{}, err
	}
	if wanted.Older, err = p.place(); err != nil {
		return EventPage{}, err
	}
	wanted.Limit = p.Limit + 1 // one more, to know whether there is a next page
	list, err := s.store.Events(ctx, wanted)
	if err != nil || len(list) <= p.Limit {
		return EventPage{Events: list}, err
	}
	list = list[:p.Limit]
	last := list[len(list)-1]
	return EventPage{Events: list, Next: cursor(fmt.Sprintf("%d %s", last.At.UnixMicro(), last.ID))}, nil
}

// FollowEvents tells of each event since q.Since (none: from now on) once, as they become known, until ctx
// or tell ends it, and of trouble, after which it goes on. An event that a long transaction made late is
// told of too, behind younger ones.
func (s *Service) FollowEvents(ctx context.Context, q EventQuery, tell func(audit.Event) error, trouble func(error)) error {
	const pause = time.Second
	wanted, err := s.eventQuery(ctx, q)
	if err != nil {
		return err
	}
	f := following{query: wanted, told: map[uuid.UUID]time.Time{}}
	for {
		list, err := f.read(ctx, s.store)
		if err != nil && ctx.Err() == nil {
			trouble(err)
		}
		for _, e := range list {
			if err := tell(e); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// following knows what was told already of the stretch of time that is read again.
type following struct {
	query store.EventQuery
	told  map[uuid.UUID]time.Time
	begun bool
}

// read returns what was not told yet, the oldest first. It reads again what is younger than any transaction
// that could still be under way: the database ends one that does nothing for twice REQUEST_TIMEOUT, which
// is 40 s at most.
func (f *following) read(ctx context.Context, st *store.Store) ([]audit.Event, error) {
	const longest, rows = time.Minute, 1000
	now, err := st.Now(ctx)
	if err != nil {
		return nil, err
	}
	if !f.begun && f.query.Since.IsZero() {
		f.query.Since = now
	}
	f.begun = true
	var fresh []audit.Event
	q := f.query
	q.Oldest, q.Limit = true, rows
	for {
		list, err := st.Events(ctx, q)
		if err != nil {
			return fresh, err
		}
		for _, e := range list {
			if _, known := f.told[e.ID]; !known {
				f.told[e.ID] = e.At
				fresh = append(fresh, e)
			}
		}
		if len(list) < rows {
			break
		}
		q.Newer = store.EventPlace{At: list[rows-1].At, ID: list[rows-1].ID}
	}
	if again := now.Add(-longest); again.After(f.query.Since) {
		f.query.Since = again
	}
	for id, at := range f.told {
		if at.Before(f.query.Since) {
			delete(f.told, id)
		}
	}
	return fresh, nil
}

func (s *Service) eventQuery(ctx context.Context, q EventQuery) (store.EventQuery, error) {
	wanted := store.EventQuery{RequestID: q.RequestID, Since: q.Since, Until: q.Until}
	if q.FamilyID != "" {
		id, err := uuid.Parse(q.FamilyID)
		if err != nil {
			return store.EventQuery{}, &QueryError{"family", "must be the id of a session"}
		}
		wanted.FamilyID = someID(id)
	}
	for _, kind := range q.Kinds {
		if !audit.Known(audit.Kind(kind)) {
			return store.EventQuery{}, &QueryError{"kind", "must be the name of a kind of event"}
		}
		wanted.Kinds = append(wanted.Kinds, audit.Kind(kind))
	}
	if q.User == "" {
		return wanted, nil
	}
	user, err := s.User(ctx, q.User)
	id := user.ID
	if errors.Is(err, ErrUserNotFound) {
		if id, err = uuid.Parse(q.User); err != nil {
			return store.EventQuery{}, ErrUserNotFound
		}
	}
	wanted.UserID = someID(id)
	return wanted, err
}

// place reads the cursor of a page of events.
func (p Page) place() (store.EventPlace, error) {
	text, err := p.after()
	if err != nil || text == "" {
		return store.EventPlace{}, err
	}
	microseconds, id, _ := strings.Cut(text, " ")
	at, err := strconv.ParseInt(microseconds, 10, 64)
	if err != nil {
		return store.EventPlace{}, errCursor
	}
	place := store.EventPlace{At: time.UnixMicro(at).UTC()}
	if place.ID, err = uuid.Parse(id); err != nil {
		return store.EventPlace{}, errCursor
	}
	return place, nil
}
