package auth_test

import (
	"strings"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

func atMost(sessions int) option {
	return func(c *auth.Config, _ *[]string) { c.MaxSessionsPerUser = sessions }
}

func TestSessionLimit_TheOldestEnds(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, atMost(2))
	r.addUser(t, "ana")
	r.addUser(t, "bob")
	first, second, bobs := r.login(t, "ana"), r.login(t, "ana"), r.login(t, "bob")
	first = r.refresh(t, first.RefreshToken) // used last, and still the oldest
	third := r.login(t, "ana")
	r.wantSignedOut(t, first)
	r.wantRefused(t, first.RefreshToken)
	for _, tokens := range []auth.Tokens{second, third, bobs} {
		r.wantSignedIn(t, tokens)
	}
	if got := endedBy(t, db); got != "session_limit by kindred, alive, alive, alive" {
		t.Errorf("families: %s", got)
	}
	if kinds := strings.Join(events(t, db), " "); !strings.HasSuffix(kinds, "login_ok login_ok login_ok family_revoked login_ok") {
		t.Errorf("audit trail %q", kinds)
	}
	r.wantInvariants(t)
}

// A lower limit than yesterday's is reached at the next login.
func TestSessionLimit_EndsAllThatAreTooMany(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r, limited := newReplica(t, db), newReplica(t, db, atMost(1))
	r.addUser(t, "ana")
	for range 3 {
		r.login(t, "ana")
	}
	limited.login(t, "ana")
	if got := endedBy(t, db); got != "session_limit by kindred, session_limit by kindred, session_limit by kindred, alive" {
		t.Errorf("families: %s", got)
	}
}

func TestSessionLimit_SessionsThatAreOverDoNotCount(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, atMost(2))
	r.addUser(t, "ana")
	r.login(t, "ana")
	db.Advance(t, idle) // expired
	kept := r.login(t, "ana")
	wantError(t, r.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: r.login(t, "ana").RefreshToken}), nil)
	r.login(t, "ana")
	r.wantSignedIn(t, kept)
	if got := endedBy(t, db); strings.Contains(got, "session_limit") {
		t.Errorf("families: %s", got)
	}
}

// Far below the limit logins share the user's row, near it they queue; both ways the limit holds when they are done.
func TestSessionLimit_LoginsAtOnceOnTwoReplicas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ limit, before int }{"a small limit": {3, 12}, "a great limit": {60, 57}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			replicas := []replica{newReplica(t, db, atMost(c.limit)), newReplica(t, db, atMost(c.limit))}
			replicas[0].addUser(t, "ana")
			const atOneTime = 12 // on devices of their own: strangers are not let in so many at once
			var devices []string
			for range c.before {
				devices = append(devices, replicas[0].login(t, "ana").DeviceToken)
			}
			var acts []func()
			for i := range atOneTime {
				acts = append(acts, func() {
					if _, err := replicas[i%2].try(t, "ana", userPassword, devices[i]); err != nil {
						t.Error(err)
					}
				})
			}
			atOnce(t, db, acts...)
			live, started := one[int](t, db, `SELECT count(*) FROM token_families WHERE revoked_at IS NULL`), one[int](t, db, `SELECT count(*) FROM token_families`)
			if live != c.limit || started != c.before+atOneTime {
				t.Errorf("%d sessions live of %d that began, want %d of %d", live, started, c.limit, c.before+atOneTime)
			}
			replicas[0].wantInvariants(t)
		})
	}
}

func TestSessionLimit_CostsNoStatementBelowIt(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	for limit, want := range map[int]int{0: 9, 3: 9, 100: 9} {
		r := newReplica(t, db, atMost(limit))
		name := "user-" + time.Duration(limit).String()
		r.addUser(t, name)
		r.login(t, name)
		r.statements.take()
		r.login(t, name)
		if list := r.statements.take(); len(list) != want {
			t.Errorf("limit %d: %d statements, want %d: %q", limit, len(list), want, list)
		}
	}
}
