package revocation

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// clock is the test's own.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Now()} }

func (c *clock) read() time.Time { return c.now }

func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// freshSet has read the whole of a list.
func freshSet(c *clock, list ...store.Revocation) *Set {
	s := NewSet(c.read)
	s.take(store.Reading{Now: c.now, Revocations: list}, c.now, true)
	return s
}

func want(t *testing.T, s *Set, token Token, verdict Verdict) {
	t.Helper()
	if got := s.Check(token); got != verdict {
		t.Errorf("verdict %d, want %d", got, verdict)
	}
	if fresh := s.Fresh(); verdict != Revoked && fresh != (verdict == Clear) {
		t.Errorf("fresh %v", fresh)
	}
}

func TestCheck_EachKindOfRevocation(t *testing.T) {
	t.Parallel()
	c := newClock()
	token := Token{ID: uuid.New(), FamilyID: uuid.New(), UserID: uuid.New(), Version: 3, IssuedAt: c.now}
	later := c.now.Add(time.Hour)
	cases := map[string]struct {
		revocation store.Revocation
		verdict    Verdict
	}{
		"its family":                 {store.Revocation{Kind: store.RevokedFamily, Subject: token.FamilyID}, Revoked},
		"another family":             {store.Revocation{Kind: store.RevokedFamily, Subject: uuid.New()}, Clear},
		"a family of the token's id": {store.Revocation{Kind: store.RevokedFamily, Subject: token.ID}, Clear},
		"itself":                     {store.Revocation{Kind: store.RevokedToken, Subject: token.ID}, Revoked},
		"another token":              {store.Revocation{Kind: store.RevokedToken, Subject: uuid.New()}, Clear},
		"a version above":            {store.Revocation{Kind: store.RevokedUser, Subject: token.UserID, Below: 4}, Revoked},
		"its own version":            {store.Revocation{Kind: store.RevokedUser, Subject: token.UserID, Below: 3}, Clear},
		"another user":               {store.Revocation{Kind: store.RevokedUser, Subject: uuid.New(), Below: 4}, Clear},
		"all before, it too":         {store.Revocation{Kind: store.RevokedAll, Before: c.now.Add(1)}, Revoked},
		"all before it":              {store.Revocation{Kind: store.RevokedAll, Before: c.now}, Clear},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.revocation.Until = later
			want(t, freshSet(c, tc.revocation), token, tc.verdict)
			own := freshSet(c)
			own.Add([]store.Revocation{tc.revocation})
			want(t, own, token, tc.verdict)
		})
	}
}

// Of a user the highest version counts and of all the latest instant, in whatever order they are heard.
func TestCheck_TheFurthestReachCounts(t *testing.T) {
	t.Parallel()
	c := newClock()
	user := uuid.New()
	list := []store.Revocation{
		{Kind: store.RevokedUser, Subject: user, Below: 4, Until: c.now.Add(time.Minute)},
		{Kind: store.RevokedUser, Subject: user, Below: 2, Until: c.now.Add(time.Hour)},
		{Kind: store.RevokedAll, Before: c.now, Until: c.now.Add(time.Minute)},
		{Kind: store.RevokedAll, Before: c.now.Add(-time.Hour), Until: c.now.Add(time.Hour)},
	}
	for range 2 {
		slices.Reverse(list)
		s := freshSet(c, list...)
		for range 2 {
			want(t, s, Token{UserID: user, Version: 3, IssuedAt: c.now}, Revoked)
			want(t, s, Token{UserID: user, Version: 4, IssuedAt: c.now}, Clear)
			want(t, s, Token{UserID: user, Version: 4, IssuedAt: c.now.Add(-1)}, Revoked)
			s.take(store.Reading{Now: c.now.Add(30 * time.Minute)}, c.now, true) // one of each pair has expired
		}
	}
}

func TestCheck_VouchesWhileTheReadingIsFresh(t *testing.T) {
	t.Parallel()
	c := newClock()
	var token Token
	s := NewSet(c.read)
	want(t, s, token, Unknown)
	s.take(store.Reading{Now: c.now}, c.now, false)
	want(t, s, token, Unknown) // never read as a whole
	asked := c.now
	c.advance(time.Second) // the answer took its time
	s.take(store.Reading{Now: c.now}, asked, true)
	c.advance(freshFor - time.Second - 1)
	want(t, s, token, Clear)
	c.advance(1)
	want(t, s, token, Unknown)
	s.take(store.Reading{Now: c.now}, c.now, false)
	want(t, s, token, Clear)
}

func TestReading_IsAsOldAsTheQuestion(t *testing.T) {
	t.Parallel()
	c := newClock()
	if _, entries, ok := NewSet(c.read).Reading(); ok || entries != 0 {
		t.Errorf("%d entries before the first reading, read %v", entries, ok)
	}
	s := freshSet(c, store.Revocation{Kind: store.RevokedFamily, Until: c.now.Add(time.Hour)})
	c.advance(3 * time.Second)
	if age, entries, ok := s.Reading(); age != 3*time.Second || entries != 1 || !ok {
		t.Errorf("age %v, %d entries, read %v", age, entries, ok)
	}
}

// A machine that slept knows by the one clock, a clock that was set by the other.
func TestVouches_ByBothClocks(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]struct {
		steady, wall time.Duration
		vouches      bool
	}{
		"just now":       {0, 0, true},
		"almost late":    {freshFor - 1, freshFor - 1, true},
		"late":           {freshFor, freshFor, false},
		"slept":          {time.Millisecond, time.Hour, false},
		"clock set back": {freshFor, 0, false},
		"back beyond it": {time.Second, -time.Second, false},
	} {
		if got := vouches(age.steady, age.wall); got != age.vouches {
			t.Errorf("%s: vouches %v", name, got)
		}
	}
	c := newClock()
	s := freshSet(c)
	c.now = c.now.Round(0).Add(-time.Minute)
	want(t, s, Token{}, Unknown)
}

// What is revoked is so however old the list: a replica that hears nothing forgets nothing.
func TestCheck_RevokedHoldsWithoutFreshness(t *testing.T) {
	t.Parallel()
	c := newClock()
	family := uuid.New()
	s := freshSet(c, store.Revocation{Kind: store.RevokedFamily, Subject: family, Until: c.now.Add(time.Hour)})
	c.advance(30 * time.Minute)
	want(t, s, Token{FamilyID: family}, Revoked)
	want(t, s, Token{}, Unknown)
}

func TestTake_ForgetsWhatHasExpiredByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	c := newClock()
	short, long := uuid.New(), uuid.New()
	s := freshSet(c,
		store.Revocation{Kind: store.RevokedFamily, Subject: short, Until: c.now.Add(time.Minute)},
		store.Revocation{Kind: store.RevokedFamily, Subject: long, Until: c.now.Add(time.Hour)},
		store.Revocation{Kind: store.RevokedAll, Before: c.now, Until: c.now.Add(time.Minute)})
	s.take(store.Reading{Now: c.now.Add(2 * time.Minute)}, c.now, false)
	want(t, s, Token{FamilyID: long}, Revoked)
	want(t, s, Token{FamilyID: short}, Clear)
	if len(s.subjects) != 1 || s.all != (all{}) {
		t.Errorf("%d families and %v are kept", len(s.subjects), s.all)
	}
}

func families(n int, until time.Time) []store.Revocation {
	list := make([]store.Revocation, n)
	for i := range list {
		list[i] = store.Revocation{Kind: store.RevokedFamily, Subject: uuid.New(), Until: until}
	}
	return list
}

// Over the bound nothing is vouched for, what was kept is still refused, and once enough has expired a
// whole reading mends it.
func TestTake_OverTheBound(t *testing.T) {
	t.Parallel()
	c := newClock()
	list := families(maxEntries+1, c.now.Add(time.Minute))
	s := freshSet(c, list[:maxEntries]...)
	want(t, s, Token{}, Clear)

	s.Add(list[maxEntries:])
	want(t, s, Token{}, Unknown)
	want(t, s, Token{FamilyID: list[0].Subject}, Revoked)
	c.advance(time.Second)
	s.take(store.Reading{Now: c.now}, c.now, false)
	want(t, s, Token{}, Unknown) // what was left out is still missing
	c.advance(time.Second)
	s.take(store.Reading{Now: c.now, Revocations: list}, c.now, true)
	want(t, s, Token{}, Unknown)
	if len(s.subjects) != maxEntries {
		t.Errorf("%d are kept, want %d", len(s.subjects), maxEntries)
	}

	c.advance(2 * time.Minute)
	s.take(store.Reading{Now: c.now}, c.now, true)
	want(t, s, Token{}, Clear)
	if len(s.subjects) != 0 {
		t.Errorf("%d are kept", len(s.subjects))
	}
}

// A whole reading that was asked for before this replica's own revocation found no room does not have it.
func TestTake_OwnRevocationWithoutRoomOutlastsAnOlderReading(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := freshSet(c, families(maxEntries, c.now.Add(time.Minute))...)
	c.advance(2 * time.Minute)
	asked := c.now
	c.advance(time.Millisecond)
	own := families(1, c.now.Add(time.Hour))
	s.Add(own)
	c.advance(time.Millisecond)
	s.take(store.Reading{Now: c.now}, asked, true)
	want(t, s, Token{FamilyID: own[0].Subject}, Unknown)
	c.advance(time.Millisecond)
	s.take(store.Reading{Now: c.now, Revocations: own}, c.now, true)
	want(t, s, Token{FamilyID: own[0].Subject}, Revoked)
	want(t, s, Token{}, Clear)
}

func TestNext_WaitsForAReadingThatWasAskedForAfterwards(t *testing.T) {
	t.Parallel()
	s := NewSet(time.Now)
	before := time.Now()
	done := make(chan error, 1)
	go func() { done <- s.Next(t.Context()) }()
	s.take(store.Reading{}, before, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an older reading ended the wait: error %v", err)
	}
	for {
		s.take(store.Reading{}, time.Now(), false)
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}
