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
	wanted.Oldest = true
	f := following{query: wanted, told: map[uuid.UUID]time.Time{}}
	for {
		err := f.read(ctx, s.store, tell)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrUnavailable):
			trouble(err)
		case err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// following knows what was told already of the stretch of time that is read again, and how far a reading
// has come that trouble ended.
type following struct {
	query store.EventQuery
	told  map[uuid.UUID]time.Time
	again time.Time // where the next reading begins; zero unless one is under way
}

// read tells what was not told yet, the oldest first, page by page: the first reading may have a long way to
// go. It reads again what is younger than any transaction that could still be under way when the reading
// before began: the database ends one that does nothing for twice REQUEST_TIMEOUT, which is 40 s at most.
func (f *following) read(ctx context.Context, st *store.Store, tell func(audit.Event) error) error {
	const longest, rows = time.Minute, 1000
	f.query.Limit = rows
	if f.again.IsZero() {
		now, err := inTime(ctx, st.Now)
		if err != nil {
			return err
		}
		if f.query.Since.IsZero() {
			f.query.Since = now
		}
		f.again, f.query.Newer = now.Add(-longest), store.EventPlace{}
	}
	for {
		list, err := inTime(ctx, func(ctx context.Context) ([]audit.Event, error) { return st.Events(ctx, f.query) })
		if err != nil {
			return err
		}
		for _, e := range list {
			f.query.Newer = store.EventPlace{At: e.At, ID: e.ID}
			if err := f.once(e, tell); err != nil {
				return err
			}
		}
		if len(list) < rows {
			break
		}
	}
	if f.again.After(f.query.Since) {
		f.query.Since = f.again
	}
	for id, at := range f.told {
		if at.Before(f.query.Since) {
			delete(f.told, id)
		}
	}
	f.again = time.Time{}
	return nil
}

// once tells of an event that was not told of before, and remembers it if it will be read again.
func (f *following) once(e audit.Event, tell func(audit.Event) error) error {
	if _, known := f.told[e.ID]; known {
		return nil
	}
	if !e.At.Before(f.again) {
		f.told[e.ID] = e.At
	}
	return tell(e)
}

// inTime bounds one statement of many: on a line that went dead it would never return.
func inTime[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	const limit = 15 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return read(ctx)
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
	if !isText(q.RequestID) {
		return store.EventQuery{}, &QueryError{"requestId", "must be valid UTF-8 without NUL"}
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
	if err != nil || at < 0 { // no event is that old, and no timestamp of PostgreSQL much older
		return store.EventPlace{}, errCursor
	}
	place := store.EventPlace{At: time.UnixMicro(at).UTC()}
	if place.ID, err = uuid.Parse(id); err != nil {
		return store.EventPlace{}, errCursor
	}
	return place, nil
}
