package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

func TestDevice_HasABudgetOfItsOwn(t *testing.T) {
	t.Parallel()
	db := frozen(t)
	r := newReplica(t, db, withGuesses(auth.GuessLimits{PerNetwork: account.Bucket{Burst: 5, PerMinute: 1}}))
	r.addUser(t, "ana")
	r.addUser(t, "bob")
	known, stranger := r.login(t, "ana").DeviceToken, r.login(t, "bob").DeviceToken
	for range 5 {
		r.wantWrong(t, "ana")
	}
	for _, device := range []string{"", stranger, known[:len(known)-1] + flip(known[len(known)-1]), "kdt_"} {
		_, err := r.try(t, "ana", userPassword, device)
		wantThrottled(t, err)
	}
	for range 2 {
		for range 9 {
			if _, err := r.try(t, "ana", wrongPassword, known); !errors.Is(err, auth.ErrInvalidCredentials) {
				t.Fatalf("on the known device: %v", err)
			}
		}
		tokens, err := r.try(t, "ana", userPassword, known)
		if err != nil {
			t.Fatalf("on the known device: %v", err)
		}
		if parseDevice(t, tokens.DeviceToken).ID != parseDevice(t, known).ID {
			t.Error("the device got another id")
		}
		known = tokens.DeviceToken
	}
	for range 10 {
		_, _ = r.try(t, "ana", wrongPassword, known)
	}
	_, err := r.try(t, "ana", userPassword, known) // a stranger's from now on, whom others have used up
	wantThrottled(t, err)
	db.Advance(t, time.Hour)
	if _, err := r.try(t, "ana", userPassword, known); err != nil {
		t.Fatalf("as a stranger: %v", err)
	}
	r.wantWrong(t, "ana")
	if _, err := r.try(t, "ana", wrongPassword, known); !errors.Is(err, auth.ErrInvalidCredentials) {
		t.Fatal(err)
	}
	if n := one[int](t, db, `SELECT max(failures) FROM throttle WHERE scope = 'device'`); n != 1 {
		t.Errorf("after a login as a stranger's the device has %d failures, want the one since", n)
	}
}

func TestDevice_IsForgottenWithANewPasswordAndInTime(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(t *testing.T, db *testdb.DB){
		"a new password": func(t *testing.T, db *testdb.DB) {
			db.Advance(t, time.Microsecond)
			db.Exec(t, `UPDATE users SET password_changed_at = clock_timestamp()`)
		},
		"400 days": func(t *testing.T, db *testdb.DB) { db.Advance(t, token.DeviceLifetime) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := frozen(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			known := r.login(t, "ana").DeviceToken
			forget(t, db)
			db.Advance(t, time.Microsecond)
			for range 5 {
				if _, err := r.try(t, "ana", wrongPassword, known); !errors.Is(err, auth.ErrInvalidCredentials) {
					t.Fatal(err)
				}
			}
			_, err := r.try(t, "ana", userPassword, known)
			wantThrottled(t, err)
		})
	}
}

// A token that is not ours costs nothing; one of ours that does not fit costs the same whoever has the name.
func TestDevice_WhatDoesNotFitIsTheSameWork(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.addUser(t, "bob")
	bobs := r.login(t, "bob").DeviceToken
	statementsOf := func(name, device string) int {
		r.statements.take()
		if _, err := r.try(t, name, wrongPassword, device); !errors.Is(err, auth.ErrInvalidCredentials) {
			t.Fatal(err)
		}
		return len(r.statements.take())
	}
	for range 2 { // the second time no row has to be made
		ana, nobody := statementsOf("ana", bobs), statementsOf("nobody", bobs)
		if ana != nobody {
			t.Errorf("%d statements for a user, %d for nobody", ana, nobody)
		}
	}
	if plain, forged := statementsOf("ana", ""), statementsOf("ana", "kdt_"+strings.Repeat("A", 76)); plain != forged {
		t.Errorf("%d statements without a device token, %d with a forged one", plain, forged)
	}
}

func parseDevice(t testing.TB, wire string) token.Device {
	t.Helper()
	codec, err := token.NewDeviceCodec([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	device, err := codec.Parse(wire)
	if err != nil {
		t.Fatal(err)
	}
	return device
}
