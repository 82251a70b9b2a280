package auth_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
)

const wrongPassword = "wrong horse battery"

// try is a login; name and password are enough to say which.
func (r replica) try(t testing.TB, name, password, device string) (auth.Tokens, error) {
	t.Helper()
	return r.Login(t.Context(), caller, auth.LoginRequest{Username: name, Password: password, DeviceToken: device})
}

func (r replica) wantWrong(t testing.TB, name string) {
	t.Helper()
	if _, err := r.try(t, name, wrongPassword, ""); !errors.Is(err, auth.ErrInvalidCredentials) {
		t.Fatalf("%s: error %v, want ErrInvalidCredentials", name, err)
	}
}

// wantThrottled returns how long the guess was told to wait.
func wantThrottled(t testing.TB, err error) time.Duration {
	t.Helper()
	var throttled *auth.ThrottledError
	if !errors.As(err, &throttled) {
		t.Fatalf("error %v, want a *ThrottledError", err)
	}
	return throttled.RetryAfter
}

// frozen is a database whose clock moves by Advance only.
func frozen(t testing.TB) *testdb.DB {
	t.Helper()
	db := testdb.New(t)
	db.Freeze(t, db.Now().Truncate(time.Second))
	return db
}

func withGuesses(limits auth.GuessLimits) option {
	return func(c *auth.Config, _ *[]string) { c.Guesses = limits }
}

// Equal work by count: what an unknown name, a wrong password and a disabled user cost is the same number
// of statements and of hashes, guess by guess, and so is what they are told, throttled or not.
func TestThrottle_UnknownWrongAndDisabledAreTheSameWork(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db, withGuesses(auth.GuessLimits{
		PerNetwork: account.Bucket{Burst: 300, PerMinute: 30}, Overall: account.Bucket{Burst: 3000, PerMinute: 300},
	}))
	r.addUser(t, "wrong")
	r.addUser(t, "disabled")
	r.addUser(t, "somebody")
	if err := r.DisableUser(t.Context(), caller, "disabled"); err != nil {
		t.Fatal(err)
	}
	r.wantWrong(t, "somebody") // the rows of the network and of all are there from now on
	work := map[string]string{}
	for name, password := range map[string]string{"unknown": userPassword, "wrong": wrongPassword, "disabled": userPassword} {
		for range 9 {
			r.statements.take()
			hashes := r.hasher.Work()
			_, err := r.try(t, name, password, "")
			var throttled *auth.ThrottledError
			told := fmt.Sprint(errors.Is(err, auth.ErrInvalidCredentials))
			if errors.As(err, &throttled) {
				told = throttled.RetryAfter.String()
			}
			work[name] += fmt.Sprintf("%s: %d statements, %d hashes\n", told, len(r.statements.take()), r.hasher.Work()-hashes)
		}
	}
	if work["unknown"] != work["wrong"] || work["disabled"] != work["wrong"] {
		t.Errorf("unknown\n%swrong\n%sdisabled\n%s", work["unknown"], work["wrong"], work["disabled"])
	}
	// After the first of a minute, which is told to the audit trail: charge and look for the user; then one
	// reading, and no hash.
	wantContains(t, work["wrong"], strings.Repeat("true: 2 statements, 1 hashes\n", 4), strings.Repeat("1s: 1 statements, 0 hashes\n", 3))
}

func TestThrottle_ParallelGuessesOverTwoReplicasAndManyNetworks(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	before := a.hasher.Work() + b.hasher.Work()
	var refused, throttled atomic.Int64
	var guesses sync.WaitGroup
	for i := range 200 {
		guesses.Go(func() {
			from := caller
			from.Address = netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
			_, err := []replica{a, b}[i%2].Login(t.Context(), from, auth.LoginRequest{Username: "ana", Password: wrongPassword})
			var limit *auth.ThrottledError
			switch {
			case errors.Is(err, auth.ErrInvalidCredentials):
				refused.Add(1)
			case errors.As(err, &limit):
				throttled.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	guesses.Wait()
	if hashed := a.hasher.Work() + b.hasher.Work() - before; refused.Load() != 5 || throttled.Load() != 195 || hashed != 5 {
		t.Errorf("%d evaluated, %d throttled, %d hashes; want 5, 195 and 5", refused.Load(), throttled.Load(), hashed)
	}
	if n := count(events(t, db), "login_refused"); n != 1 {
		t.Errorf("%d refusals in the audit trail, want the first of the minute", n)
	}
	if n := count(events(t, db), "login_throttled"); n != 1 {
		t.Errorf("%d throttlings in the audit trail, want the first of the minute", n)
	}
}

// A hundred in a row lock strangers out, by any replica and for good, until a new password.
func TestThrottle_HundredInARowLockUntilANewPassword(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	owner := a.login(t, "ana").DeviceToken
	for i := range 100 {
		[]replica{a, b}[i%2].wantWrong(t, "ana")
		db.Advance(t, account.LongestWait)
	}
	db.Advance(t, 300*24*time.Hour)
	_, err := newReplica(t, db).try(t, "ana", userPassword, "")
	if wait := wantThrottled(t, err); wait != account.LongestWait {
		t.Errorf("a lock tells to wait %v, want %v as the longest wait does", wait, account.LongestWait)
	}
	if _, err := b.try(t, "ana", userPassword, owner); err != nil {
		t.Errorf("the owner on a known device: %v", err)
	}
	_, err = a.try(t, "ana", userPassword, "")
	wantThrottled(t, err) // the owner's login is not the strangers'
	db.Exec(t, `UPDATE users SET password_changed_at = clock_timestamp()`)
	if _, err := a.try(t, "ana", userPassword, ""); err != nil {
		t.Errorf("after a new password: %v", err)
	}
}

// The last wrong guess comes while a new password is set and not yet committed: it was a guess at the old one.
func TestThrottle_GuessBesideANewPasswordIsVoidWithTheOldOne(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	for range 4 {
		r.wantWrong(t, "ana")
	}
	db.Advance(t, time.Second)
	setting, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := setting.Exec(t.Context(), `UPDATE users SET password_changed_at = clock_timestamp()`); err != nil {
		t.Fatal(err)
	}
	db.Advance(t, time.Second)
	r.wantWrong(t, "ana")
	if err := setting.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.try(t, "ana", userPassword, ""); err != nil {
		t.Errorf("after the new password: %v", err)
	}
}

func TestThrottle_RightPasswordBeginsAnew(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db, withGuesses(auth.GuessLimits{PerNetwork: account.Bucket{Burst: 9, PerMinute: 1}}))
	r.addUser(t, "ana")
	for range 2 {
		for range 4 {
			r.wantWrong(t, "ana")
		}
		for range 20 {
			r.login(t, "ana") // costs nothing, also not of the network's
		}
	}
	r.wantWrong(t, "ana")
	_, err := r.try(t, "ana", userPassword, "")
	if wait := wantThrottled(t, err); wait != time.Minute {
		t.Errorf("the network's nine are used up; told to wait %v", wait)
	}
	if _, err := r.Login(t.Context(), auth.Caller{}, auth.LoginRequest{Username: "ana", Password: userPassword}); err != nil {
		t.Errorf("from nobody knows where: %v", err)
	}
}

// What nobody evaluated is not counted: here the hash cannot be read, and then the family not begun.
func TestThrottle_WhatWasNotEvaluatedIsNotCounted(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db, withGuesses(auth.GuessLimits{Overall: account.Bucket{Burst: 3, PerMinute: 1}}))
	r.addUser(t, "ana")
	r.wantWrong(t, "ana")
	counts := func() string {
		return one[string](t, db, `SELECT jsonb_agg(ARRAY[scope, failures::text, untold::text, opens_at::text] ORDER BY scope)::text FROM throttle`)
	}
	before := counts()
	for _, trouble := range [][2]string{
		{`UPDATE users SET password_hash = 'x' || password_hash`, `UPDATE users SET password_hash = substr(password_hash, 2)`},
		{`ALTER TABLE token_families RENAME TO elsewhere`, `ALTER TABLE elsewhere RENAME TO token_families`},
	} {
		db.Exec(t, trouble[0])
		for range 10 {
			if _, err := r.try(t, "ana", userPassword, ""); err == nil || errors.Is(err, auth.ErrInvalidCredentials) || errors.As(err, new(*auth.ThrottledError)) {
				t.Fatalf("in trouble: error %v", err)
			}
		}
		db.Exec(t, trouble[1])
		if after := counts(); after != before {
			t.Errorf("counts went from %s to %s", before, after)
		}
	}
}

func TestThrottle_AuditTrailHasTheFirstInAMinuteWithACount(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db)
	ana := r.addUser(t, "ana")
	details := func(kind string) string {
		return one[string](t, db, `SELECT coalesce(string_agg(coalesce(user_id::text, '-') || ' ' || reason || ' ' || detail::text, E'\n' ORDER BY at, id), '') FROM audit_events WHERE kind = $1`, kind)
	}
	for range 4 {
		r.wantWrong(t, "ana")
	}
	db.Advance(t, time.Minute)
	r.wantWrong(t, "ana")
	for range 3 {
		_, err := r.try(t, "ana", userPassword, "")
		wantThrottled(t, err)
	}
	id := ana.ID.String()
	if got, want := details("login_refused"), id+` wrong_password {"count": 1}`+"\n"+id+` wrong_password {"count": 4}`; got != want {
		t.Errorf("refused:\n%s\nwant\n%s", got, want)
	}
	if got, want := details("login_throttled"), id+` name {"failures": 5}`; got != want {
		t.Errorf("throttled:\n%s\nwant\n%s", got, want)
	}
}

func TestConfirm_IsCountedApartFromLogins(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	ana, err := r.store.UserByName(t.Context(), mustName(t, "ana"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Confirm(t.Context(), caller, ana, userPassword); err != nil {
		t.Fatalf("the right password: %v", err)
	}
	for range 5 {
		if err := r.Confirm(t.Context(), caller, ana, wrongPassword); !errors.Is(err, auth.ErrInvalidCredentials) {
			t.Fatal(err)
		}
	}
	hashes := r.hasher.Work()
	wantThrottled(t, r.Confirm(t.Context(), caller, ana, userPassword))
	if r.hasher.Work() != hashes {
		t.Error("what is not let in was hashed")
	}
	r.login(t, "ana")
	if n := count(events(t, db), "password_refused"); n != 1 {
		t.Errorf("%d refusals in the audit trail, want the first of the minute", n)
	}
	db.Advance(t, time.Second)
	if err := r.Confirm(t.Context(), caller, ana, userPassword); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestRegister_IsLimitedByTheNetwork(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db, withGuesses(auth.GuessLimits{Registrations: account.Bucket{Burst: 3, PerMinute: 1}}))
	for i, want := range []error{nil, &account.InvalidError{}, auth.ErrUsernameTaken, nil} {
		name := []string{"ana", " ", "ANA", "bob"}[i]
		_, err := r.Register(t.Context(), caller, name, userPassword)
		if invalid := new(account.InvalidError); want != nil && !errors.Is(err, want) && !errors.As(err, &invalid) || want == nil && err != nil {
			t.Fatalf("%q: error %v", name, err)
		}
	}
	_, err := r.Register(t.Context(), caller, "carl", userPassword)
	if wait := wantThrottled(t, err); wait != time.Minute {
		t.Errorf("told to wait %v", wait)
	}
	elsewhere := caller
	elsewhere.Address = netip.MustParseAddr("198.51.100.1")
	if _, err := r.Register(t.Context(), elsewhere, "carl", userPassword); err != nil {
		t.Errorf("from another network: %v", err)
	}
}

func mustName(t testing.TB, text string) account.Username {
	t.Helper()
	name, err := account.ParseUsername(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}
