package auth_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// resetToken makes a link and reads the token out of it.
func (r replica) resetToken(t testing.TB, name string) string {
	t.Helper()
	link, err := r.MakeResetLink(t.Context(), operator, name)
	if err != nil {
		t.Fatal(err)
	}
	token, found := strings.CutPrefix(link.URL.Reveal(), "https://id.example/reset?token=")
	if !found || link.User.Username != name {
		t.Fatalf("the link is %s, for %s", link.URL.Reveal(), link.User.Username)
	}
	return token
}

func TestResetPassword_EndsAllSessionsAndWorksOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	phone, laptop := a.login(t, "ana"), a.login(t, "ana")
	token := a.resetToken(t, "ana")
	if dump := one[string](t, db, `SELECT r::text FROM password_resets r`); strings.Contains(dump, token[4:]) {
		t.Error("the token is stored in clear")
	}
	wantInvalid(t, b.ResetPassword(t.Context(), caller, token, "short"), "password") // and the link stays good
	a.wantSignedIn(t, phone)
	wantError(t, b.ResetPassword(t.Context(), caller, token, otherPassword), nil)
	for _, tokens := range []auth.Tokens{phone, laptop} {
		a.wantSignedOut(t, tokens)
		a.wantRefused(t, tokens.RefreshToken)
	}
	wantError(t, a.loginWith(t, "ana", userPassword), auth.ErrInvalidCredentials)
	wantError(t, a.loginWith(t, "ana", otherPassword), nil)
	wantError(t, a.ResetPassword(t.Context(), caller, token, "a third horse battery"), auth.ErrInvalidResetToken)
	wantError(t, a.loginWith(t, "ana", otherPassword), nil)
	if got := endedBy(t, db); got != "password_reset by user, password_reset by user, alive, alive" {
		t.Errorf("families: %s", got)
	}
	if kinds := events(t, db); count(kinds, "reset_link_made") != 1 || count(kinds, "password_reset") != 1 {
		t.Errorf("audit trail %q", kinds)
	}
	a.wantInvariants(t)
}

// Each case makes a token that was good void.
func TestResetPassword_LinksThatAreVoid(t *testing.T) {
	t.Parallel()
	for name, void := range map[string]func(testing.TB, *testdb.DB, replica) error{
		"an hour later": func(t testing.TB, db *testdb.DB, _ replica) error {
			db.Advance(t, time.Hour)
			return nil
		},
		"a newer link": func(t testing.TB, _ *testdb.DB, r replica) error {
			r.resetToken(t, "ana")
			return nil
		},
		"password changed": func(t testing.TB, _ *testdb.DB, r replica) error {
			return r.ChangePassword(t.Context(), caller, r.wantSignedIn(t, r.login(t, "ana")), userPassword, otherPassword)
		},
		"password set": func(t testing.TB, _ *testdb.DB, r replica) error {
			return r.SetPassword(t.Context(), operator, "ana", otherPassword)
		},
		"user deleted": func(t testing.TB, _ *testdb.DB, r replica) error {
			return r.DeleteUser(t.Context(), operator, "ana")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			r := newReplica(t, db)
			r.addUser(t, "ana")
			token := r.resetToken(t, "ana")
			if err := void(t, db, r); err != nil {
				t.Fatal(err)
			}
			before := state(t, db)
			wantError(t, r.ResetPassword(t.Context(), caller, token, "a third horse battery"), auth.ErrInvalidResetToken)
			if state(t, db) != before {
				t.Error("something changed")
			}
			if err := r.store.PurgeResets(t.Context()); err != nil {
				t.Error(err)
			}
			want := 0
			if name == "a newer link" {
				want = 1
			}
			if n := one[int](t, db, `SELECT count(*) FROM password_resets`); n != want {
				t.Errorf("%d links are left, want %d", n, want)
			}
		})
	}
}

func TestResetPassword_OfADisabledUser(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	wantError(t, r.DisableUser(t.Context(), operator, "ana"), nil)
	wantError(t, r.ResetPassword(t.Context(), caller, r.resetToken(t, "ana"), otherPassword), nil)
	wantError(t, r.loginWith(t, "ana", otherPassword), auth.ErrInvalidCredentials)
	wantError(t, r.EnableUser(t.Context(), operator, "ana"), nil)
	wantError(t, r.loginWith(t, "ana", otherPassword), nil)
}

// All have looked the token up before any of them uses it.
func TestResetPassword_OneOfManyAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	replicas := []replica{newReplica(t, db), newReplica(t, db)}
	replicas[0].addUser(t, "ana")
	token := replicas[0].resetToken(t, "ana")
	results := make([]error, 4)
	var acts []func()
	for i := range results {
		acts = append(acts, func() {
			results[i] = replicas[i%len(replicas)].ResetPassword(t.Context(), caller, token, fmt.Sprintf("password number %d", i))
		})
	}
	atOnce(t, db, acts...)
	succeeded := 0
	for i, err := range results {
		if err == nil {
			succeeded++
			wantError(t, replicas[0].loginWith(t, "ana", fmt.Sprintf("password number %d", i)), nil)
			continue
		}
		wantError(t, err, auth.ErrInvalidResetToken)
	}
	if succeeded != 1 {
		t.Errorf("%d succeeded with one link", succeeded)
	}
}

// atOnce holds all users until every act waits for one, and then lets them all go.
func atOnce(t testing.TB, db *testdb.DB, acts ...func()) {
	t.Helper()
	watch := db.Conn(t)
	tx, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM users FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	for _, act := range acts {
		done.Go(act)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		var waiting int
		if err := watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting == len(acts) {
			break
		}
		if time.Now().After(deadline) {
			t.Error("they do not wait for the user's row")
			break
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	done.Wait()
}

func TestResetPassword_WhatGarbageCosts(t *testing.T) {
	t.Parallel()
	r := newReplica(t, testdb.New(t))
	r.addUser(t, "ana")
	for presented, want := range map[string]int{"": 0, "nonsense": 0, "kpr_" + strings.Repeat("!", 43): 0, "kpr_" + strings.Repeat("A", 43): 1} {
		r.statements.take()
		wantError(t, r.ResetPassword(t.Context(), caller, presented, otherPassword), auth.ErrInvalidResetToken)
		if list := r.statements.take(); len(list) != want {
			t.Errorf("%q cost %d statements, want %d: %q", presented, len(list), want, list)
		}
	}
}

func TestMakeResetLink_RefusalsAndRedaction(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	user := r.addUser(t, "ana")
	_, err := r.MakeResetLink(t.Context(), operator, "nobody")
	wantError(t, err, auth.ErrUserNotFound)
	homeless := newReplica(t, db, func(c *auth.Config, _ *[]string) { c.PublicURL = "" })
	if _, err := homeless.MakeResetLink(t.Context(), operator, "ana"); err == nil || !strings.Contains(err.Error(), "PUBLIC_URL") {
		t.Errorf("without PUBLIC_URL: error %v", err)
	}
	link, err := r.MakeResetLink(t.Context(), operator, user.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	if left := link.ExpiresAt.Sub(db.Now()); left > time.Hour || left < 59*time.Minute {
		t.Errorf("the link lasts %v", left)
	}
	asJSON, err := json.Marshal(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "link", link.URL)
	if printed := fmt.Sprintf("%v %+v %#v %s %q %x", link.URL, link, link.URL, link.URL, link.URL, link.URL) + string(asJSON) + logged.String(); strings.Contains(printed, "kpr_") {
		t.Errorf("printed in clear: %s", printed)
	}
}
