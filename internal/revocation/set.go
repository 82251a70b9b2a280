// Package revocation keeps each replica's blacklist current, so that a good access token costs no
// query and a revoked one is refused on every replica within milliseconds.
//
// The database has the blacklist. A [Feed] reads it on a connection of its own: at once when it is told
// (LISTEN), and every [pollInterval] in any case. What it reads goes into a [Set], which a check asks.
//
//	the set says   when                                              the check then
//	Revoked        the token is on the list                          refuses
//	Clear          it is not, and the list is fresh and complete     accepts
//	Unknown        it is not, and nobody can vouch for the list      asks the database
package revocation

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"kindred/internal/store"
)

const (
	// freshFor is how long after its sending a reading vouches for the list: the longest that a revoked
	// token can be believed on a replica that hears nothing.
	freshFor = 2 * time.Second
	// maxEntries bounds the memory, at about 100 bytes each. What a longer list has beyond is not kept: every
	// check of a token that is not on the list then asks the database, until enough has expired.
	maxEntries = 100_000
)

// Verdict is what a Set says of a token.
type Verdict int

const (
	Unknown Verdict = iota
	Clear
	Revoked
)

// Token is what an access token can be revoked by.
type Token struct {
	ID       uuid.UUID
	FamilyID uuid.UUID
	UserID   uuid.UUID
	Version  int64
	IssuedAt time.Time
}

// Set is one replica's copy of the blacklist. It is safe for concurrent use.
type Set struct {
	clock func() time.Time

	mu       sync.RWMutex
	subjects map[subject]entry // families, tokens and users
	all      all
	complete bool          // nothing was left out
	leftOut  time.Time     // when something last was
	sent     time.Time     // when the newest reading was asked for
	pruned   time.Time     // by the database
	heard    chan struct{} // closed at the next reading
}

type subject struct {
	kind store.RevocationKind
	id   uuid.UUID
}

type entry struct {
	below int64 // of a user
	until time.Time
}

// all is the revocation of every token that was issued before an instant.
type all struct{ before, until time.Time }

// NewSet makes an empty Set, which knows nothing until it is fed. clock is time.Now.
func NewSet(clock func() time.Time) *Set {
	return &Set{clock: clock, subjects: map[subject]entry{}, heard: make(chan struct{})}
}

// Check says whether a token is revoked. Revoked is certain however old the list is.
func (s *Set) Check(t Token) Verdict {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.has(store.RevokedFamily, t.FamilyID) || s.has(store.RevokedToken, t.ID) || t.IssuedAt.Before(s.all.before) ||
		t.Version < s.subjects[subject{store.RevokedUser, t.UserID}].below {
		return Revoked
	}
	if s.complete && s.fresh() {
		return Clear
	}
	return Unknown
}

func (s *Set) has(kind store.RevocationKind, id uuid.UUID) bool {
	_, there := s.subjects[subject{kind, id}]
	return there
}

// Fresh tells whether checks can do without the database.
func (s *Set) Fresh() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.complete && s.fresh()
}

// Reading tells of the newest reading how long ago it was asked for, and how long the list is; ok is false while
// there was none.
func (s *Set) Reading() (age time.Duration, entries int, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.sent.IsZero() {
		return 0, len(s.subjects), false
	}
	now := s.clock()
	return max(now.Sub(s.sent), now.Round(0).Sub(s.sent.Round(0))), len(s.subjects), true
}

func (s *Set) fresh() bool {
	now := s.clock()
	return !s.sent.IsZero() && vouches(now.Sub(s.sent), now.Round(0).Sub(s.sent.Round(0)))
}

// vouches takes a reading's age by both clocks: the steady one stands still while the machine sleeps, and
// the one on the wall can be set, back too.
func vouches(steady, wall time.Duration) bool {
	return steady < freshFor && 0 <= wall && wall < freshFor
}

// Add puts revocations on the list at once, such as this replica's own, before it acknowledges them.
func (s *Set) Add(list []store.Revocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(list)
}

func (s *Set) add(list []store.Revocation) {
	for _, r := range list {
		if r.Kind == store.RevokedAll {
			s.all = all{before: later(s.all.before, r.Before), until: later(s.all.until, r.Until)}
			continue
		}
		key := subject{r.Kind, r.Subject}
		known, there := s.subjects[key]
		if !there && len(s.subjects) >= maxEntries {
			s.complete, s.leftOut = false, s.clock()
			continue
		}
		s.subjects[key] = entry{below: max(known.below, r.Below), until: later(known.until, r.Until)}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// take is one reading, asked for at sent. What has expired goes first: a list that was too long gets room
// again. It is complete once it was read as a whole and all of it had room, this replica's own revocations
// too that came meanwhile, since such a reading may be older than they are.
func (s *Set) take(reading store.Reading, sent time.Time, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(reading.Now, whole)
	if whole {
		s.complete = s.leftOut.Before(sent)
	}
	if len(reading.Revocations) > maxEntries {
		s.complete = false
	}
	s.add(reading.Revocations)
	s.sent = sent
	close(s.heard)
	s.heard = make(chan struct{})
}

// prune drops what has expired, now and then: it goes through the whole list.
func (s *Set) prune(now time.Time, whole bool) {
	const interval = 10 * time.Second
	if !whole && now.Sub(s.pruned) < interval {
		return
	}
	s.pruned = now
	for key, e := range s.subjects {
		if e.until.Before(now) {
			delete(s.subjects, key)
		}
	}
	if s.all.until.Before(now) {
		s.all = all{}
	}
}

// crowded tells that the list is longer than the Set may keep.
func (s *Set) crowded() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.complete
}

// Next waits for a reading that was asked for after the call, or for ctx: a token that names a key which
// this replica does not know may be of a neighbour that heard of it first. It asks nobody by itself, so
// that a flood of such tokens costs no statement.
func (s *Set) Next(ctx context.Context) error {
	asked := s.clock()
	for {
		s.mu.RLock()
		sent, heard := s.sent, s.heard
		s.mu.RUnlock()
		if sent.After(asked) {
			return nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
