package account

import "time"

// Scope says what a count of guesses is about.
type Scope string

const (
	ScopeName          Scope = "name"          // an account, by its name, whether or not anybody has it
	ScopeDevice        Scope = "device"        // a device on which its user logged in before
	ScopeUser          Scope = "user"          // the current password of a signed-in user
	ScopeNetwork       Scope = "network"       // all that come from one network
	ScopeRegistrations Scope = "registrations" // people who register, from one network
	ScopeOverall       Scope = "overall"       // everybody
)

const (
	// LongestWait is the most that a back-off grows to, and the most that anybody is told to wait.
	LongestWait = 15 * time.Minute
	// LockedFor is how long a lock stands that nobody lifts by a new password.
	LockedFor = 400 * 24 * time.Hour
	// ForgottenAfter is how long a row of wrong guesses that locks nothing is remembered.
	ForgottenAfter = 30 * 24 * time.Hour
)

// Count is what is kept of the guesses at one thing.
type Count struct {
	Failures  int       // in a row, those under way included; 0 where only time counts
	ChargedAt time.Time // when the last guess was charged
	OpensAt   time.Time // the next guess is let in from then on

	PasswordSetAt time.Time // which password was guessed at; zero where only time counts, or nobody has the name
}

// Open tells whether a guess is let in.
func (c Count) Open(now time.Time) bool { return !c.OpensAt.After(now) }

// At is the count of guesses at the password that was set then: what was guessed at another one is void. It
// goes by which password it was and not by when the guess came, since a guess may be charged while a new
// password is on its way, and be read by whoever is told that it stands.
func (c Count) At(passwordSet time.Time) Count {
	if !c.PasswordSetAt.Equal(passwordSet) {
		return Count{PasswordSetAt: passwordSet}
	}
	return c
}

// Streak slows down whoever guesses wrong several times in a row, and in the end locks.
type Streak struct {
	Free    int           // that many in a row before the first wait
	First   time.Duration // after the last free one; doubles with each further one
	Longest time.Duration // it doubles up to this
	Limit   int           // that many in a row lock
}

// StrangersStreak is the rule for a name and for the current password of a signed-in user: 100 in a row
// is the most that NIST SP 800-63B-4 §3.2.2 lets anybody try.
func StrangersStreak() Streak {
	return Streak{Free: 5, First: time.Second, Longest: LongestWait, Limit: 100}
}

// DeviceStreak is the rule for a known device: no wait, and a lock that makes it a stranger's.
func DeviceStreak() Streak { return Streak{Free: 10, Limit: 10} }

// Wait is how long nobody may guess after so many failures in a row.
func (s Streak) Wait(failures int) time.Duration {
	switch {
	case failures >= s.Limit:
		return LockedFor
	case failures < s.Free:
		return 0
	}
	wait := s.First
	for range failures - s.Free {
		if wait *= 2; wait >= s.Longest {
			break
		}
	}
	return min(wait, s.Longest)
}

// Charge counts a guess as a wrong one before anybody knows what it is.
func (s Streak) Charge(c Count, now time.Time) Count {
	n := c.Failures + 1
	return Count{Failures: n, ChargedAt: now, OpensAt: now.Add(s.Wait(n)), PasswordSetAt: c.PasswordSetAt}
}

// Bucket lets Burst guesses in at once and PerMinute for good. The zero Bucket lets everybody in.
type Bucket struct {
	Burst     int
	PerMinute int
}

// Limits tells whether the bucket keeps anybody out.
func (b Bucket) Limits() bool { return b.Burst > 0 && b.PerMinute > 0 }

// Step is what one guess costs in time, in the database's microseconds.
func (b Bucket) Step() time.Duration {
	return (time.Minute / time.Duration(b.PerMinute)).Truncate(time.Microsecond)
}

// Span is how far the time that guesses have cost may run ahead.
func (b Bucket) Span() time.Duration { return time.Duration(b.Burst-1) * b.Step() }

// Charge counts a guess (the generic cell rate algorithm): one instant is all that a bucket needs.
func (b Bucket) Charge(c Count, now time.Time) Count {
	opens := c.OpensAt
	if rested := now.Add(-b.Span()); opens.Before(rested) {
		opens = rested
	}
	return Count{ChargedAt: now, OpensAt: opens.Add(b.Step())}
}
