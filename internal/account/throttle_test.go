package account

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStreak_WaitsDoubleUpToAQuarterOfAnHourAndThenItLocks(t *testing.T) {
	t.Parallel()
	var waits []time.Duration
	for failures := range 18 {
		waits = append(waits, StrangersStreak().Wait(failures))
	}
	second := time.Second
	want := []time.Duration{
		0, 0, 0, 0, 0, second, 2 * second, 4 * second, 8 * second, 16 * second, 32 * second, 64 * second, 128 * second,
		256 * second, 512 * second, 900 * second, 900 * second, 900 * second,
	}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits after 0, 1, 2, … failures: %s", diff)
	}
	for failures, want := range map[int]time.Duration{99: LongestWait, 100: LockedFor, 101: LockedFor} {
		if got := StrangersStreak().Wait(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
}

// What a stranger gets to try at one account, whatever the network and however patient.
func TestStreak_GuessesThatOneAccountAllows(t *testing.T) {
	t.Parallel()
	begin := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	for elapsed, want := range map[time.Duration]int{0: 5, time.Minute: 10, time.Hour: 17, 24 * time.Hour: 100, 300 * 24 * time.Hour: 100} {
		var c Count
		guesses := 0
		for now := begin; now.Sub(begin) <= elapsed; now = c.OpensAt {
			if !c.Open(now) {
				t.Fatal("a guess at the instant when it is let in is refused")
			}
			c = StrangersStreak().Charge(c, now)
			guesses++
		}
		if guesses != want {
			t.Errorf("%d guesses within %v, want %d", guesses, elapsed, want)
		}
	}
}

func TestStreak_DeviceHasTenWithoutAWait(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{0: 0, 5: 0, 9: 0, 10: LockedFor} {
		if got := DeviceStreak().Wait(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
}

func TestBucket_LetsABurstInAndThenSoManyAMinute(t *testing.T) {
	t.Parallel()
	b := Bucket{Burst: 300, PerMinute: 30}
	begin := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	var c Count
	letIn := func(now time.Time) (n int) {
		for c.Open(now) {
			c = b.Charge(c, now)
			n++
		}
		return n
	}
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{0, 300}, {2*time.Second - time.Microsecond, 0}, {2 * time.Second, 1}, {62 * time.Second, 30}, {24 * time.Hour, 300}} {
		if got := letIn(begin.Add(step.at)); got != step.want {
			t.Errorf("%v after the first: %d let in, want %d", step.at, got, step.want)
		}
	}
}

func TestCount_WhatWasGuessedAtAnotherPasswordIsVoid(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	c := Count{Failures: 100, ChargedAt: at, OpensAt: at.Add(LockedFor), PasswordSetAt: at.Add(-time.Hour)}
	for _, set := range []time.Time{at.Add(time.Microsecond), at.Add(-time.Microsecond)} { // charged meanwhile: it makes no difference
		if got := c.At(set); got != (Count{PasswordSetAt: set}) {
			t.Errorf("a password set at %v leaves %+v", set, got)
		}
	}
	if got := c.At(c.PasswordSetAt); got != c {
		t.Errorf("the same password leaves %+v", got)
	}
}
