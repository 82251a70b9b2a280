package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// accountChange is a request that changes its user, and what is left afterwards of what there was before.
type accountChange struct {
	name    string
	prepare func(t testing.TB, o *outage) (send func() *http.Request)
	newIn   bool // a login is let in with the new password
	current bool // the session that asks lives on
}

const changedPassword = "password456"

func accountChanges() []accountChange {
	return []accountChange{
		{"POST password", func(_ testing.TB, o *outage) func() *http.Request {
			return o.signedIn(http.MethodPost, "/password", `{"currentPassword":"password123","newPassword":"`+changedPassword+`"}`)
		}, true, true},
		{"POST password reset", func(t testing.TB, o *outage) func() *http.Request {
			link, err := o.steady.MakeResetLink(t.Context(), auth.Caller{Actor: "cli"}, o.user)
			if err != nil {
				t.Fatal(err)
			}
			_, token, _ := strings.Cut(link.URL.Reveal(), "token=")
			return func() *http.Request {
				return post("/password/reset", `{"token":"`+token+`","newPassword":"`+changedPassword+`"}`)
			}
		}, true, false},
		{"DELETE me", func(_ testing.TB, o *outage) func() *http.Request {
			return o.signedIn(http.MethodDelete, "/me", `{"password":"password123"}`)
		}, false, false},
	}
}

func (o *outage) signedIn(method, path, body string) func() *http.Request {
	return func() *http.Request {
		r := post(path, body)
		r.Method = method
		r.Header.Set("Authorization", "Bearer "+o.current.AccessToken)
		return r
	}
}

// A change of a user is made whole or not at all, at whichever statement the connection is lost. Only a COMMIT
// whose answer was lost stands behind a 503; after any other the same request succeeds.
func TestFaults_AtEveryStatementOfAChangeOfTheUser(t *testing.T) {
	t.Parallel()
	for _, change := range accountChanges() {
		for fault, answered := range map[string]bool{"cut before": false, "answer cut": true} {
			t.Run(change.name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				const most = 17 // more statements than any change has
				steady := steadySide(t, testdb.New(t))
				struck := make([]string, most)
				var all sync.WaitGroup
				for i := range struck {
					o := newOutage(t, steady, fmt.Sprint("user", i+1), 0)
					all.Go(func() {
						struck[i] = o.changeThroughFault(t, change, testdb.Fault{Nth: i + 1, Cut: true, Answered: answered})
					})
				}
				all.Wait()
				if struck[0] == "" || struck[most-1] != "" {
					t.Errorf("not every statement met the fault: %q", struck)
				}
				steady.wantInvariants(t)
			})
		}
	}
}

func (o *outage) changeThroughFault(t *testing.T, change accountChange, fault testdb.Fault) (struck string) {
	send := change.prepare(t, o)
	disarm := o.proxy.Set(fault)
	a := o.ask(t, send())
	struck = disarm()
	o.proxy.Heal()
	made := a.status == http.StatusNoContent || fault.Answered && struck == "commit"
	if a.status != http.StatusNoContent && a.status != http.StatusServiceUnavailable {
		t.Errorf("%s: status %d, want 204 or 503, at %q", o.user, a.status, struck)
	}
	if made {
		o.wantChanged(t, change)
		return struck
	}
	o.wantLogin(t, "password123", true)
	o.wantLogin(t, changedPassword, false)
	for start := time.Now(); a.status == http.StatusServiceUnavailable && time.Since(start) < 30*time.Second; {
		a = o.ask(t, send())
	}
	if a.status != http.StatusNoContent {
		t.Errorf("%s: status %d after the trouble, want 204, at %q", o.user, a.status, struck)
	}
	o.wantChanged(t, change)
	return struck
}

func (o *outage) wantChanged(t testing.TB, change accountChange) {
	t.Helper()
	o.wantLogin(t, "password123", false)
	o.wantLogin(t, changedPassword, change.newIn)
	if change.current {
		o.steadily(t, o.current)
		return
	}
	wantEnded(t, o, reply{})
}

func (o *outage) wantLogin(t testing.TB, password string, in bool) {
	t.Helper()
	_, err := o.steady.Login(t.Context(), auth.Caller{}, auth.LoginRequest{Username: o.user, Password: password})
	if in && err != nil || !in && !errors.Is(err, auth.ErrInvalidCredentials) {
		t.Errorf("%s: login with %s: error %v", o.user, password, err)
	}
}
