package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
)

// A deleted user keeps nothing, whatever was under way, and the name is somebody else's then.
func TestRace_DeleteAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	race(t, onlooker, func(r *arena) {
		r.changeOfTheUser(firstPassword, family.ReasonUserDeleted, func(ctx context.Context) error {
			return r.beside.service.DeleteUser(ctx, operator, racer)
		})
		if _, err := r.beside.service.CreateUser(r.t.Context(), operator, racer, firstPassword, account.RoleUser); err != nil {
			r.t.Fatal(err)
		}
	})
}

func TestRace_PasswordSetByAnOperatorAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	passwords := []string{firstPassword, secondPassword}
	race(t, onlooker, func(r *arena) {
		r.changeOfTheUser(passwords[0], family.ReasonPassword, func(ctx context.Context) error {
			return r.beside.service.SetPassword(ctx, operator, racer, passwords[1])
		})
		slices.Reverse(passwords)
	})
}

func TestRace_ResetAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	passwords := []string{firstPassword, secondPassword}
	race(t, onlooker, func(r *arena) {
		body := r.resetBody(passwords[1])
		r.changeOfTheUser(passwords[0], family.ReasonPasswordReset, func(ctx context.Context) error {
			a, err := r.b.post(ctx, "/password/reset", body)
			if err == nil && a.status != http.StatusNoContent {
				err = fmt.Errorf("status %d: %s", a.status, a.body)
			}
			return err
		})
		slices.Reverse(passwords)
	})
}

// resetBody makes a link for the racer, and of it what a browser posts.
func (r *arena) resetBody(newPassword string) string {
	r.t.Helper()
	link, err := r.beside.service.MakeResetLink(r.t.Context(), operator, racer)
	if err != nil {
		r.t.Fatal(err)
	}
	_, token, _ := strings.Cut(link.URL.Reveal(), "/reset?token=")
	r.resetTokens = append(r.resetTokens, token)
	return `{"token":"` + token + `","newPassword":"` + newPassword + `"}`
}

// Both processes have found the link good before either uses it.
func TestRace_ResetAgainstResetWithOneLink(t *testing.T) {
	t.Parallel()
	passwords := []string{firstPassword, secondPassword}
	race(t, onlooker, func(r *arena) {
		live := r.begin(r.a, racer, passwords[0])
		body := r.resetBody(passwords[1])
		var one, other outcome
		open := r.lineUp(
			func() { one = r.ask(r.a, "/password/reset", body) },
			func() { other = r.ask(r.b, "/password/reset", body) },
		)
		r.together(open)
		statuses := []int{one.status, other.status}
		if slices.Sort(statuses); !slices.Equal(statuses, []int{http.StatusNoContent, http.StatusBadRequest}) {
			r.t.Errorf("statuses %d: of two that use one link, one may: %s %s", statuses, one.body, other.body)
		}
		r.wantEnded(family.ReasonPasswordReset, live)
		r.begin(r.a, racer, passwords[1])
		slices.Reverse(passwords)
	})
}

// The session that asks lives, all others end, and so does a login with the old password that was under way.
func TestRace_PasswordChangeAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	passwords := []string{firstPassword, secondPassword}
	race(t, onlooker, func(r *arena) {
		asking := r.begin(r.a, racer, passwords[0])
		live := r.begin(r.b, racer, passwords[0])
		parent := r.begin(r.b, racer, passwords[0])
		child := r.next(r.a, parent)
		var login, refreshed, replayed, kept, late outcome
		open := r.lineUp(
			func() { login = r.login(r.a, racer, passwords[0]) },
			func() {
				wantStatus(r.t, r.changePassword(r.b, asking, passwords[0], passwords[1]), http.StatusNoContent)
				late = r.refresh(r.a, live)
			},
		)
		r.together(
			open,
			func() { refreshed = r.refresh(r.b, live) },
			func() { replayed = r.refresh(r.a, parent) },
			func() { kept = r.refresh(r.b, asking) },
		)
		r.wantOneOf(login, http.StatusOK, http.StatusBadRequest)
		r.wantOneOf(refreshed, http.StatusOK, http.StatusForbidden)
		r.wantOneOf(replayed, http.StatusOK, http.StatusForbidden)
		wantStatus(r.t, late.answer, http.StatusForbidden)
		r.wantEnded(family.ReasonPassword, live, parent, child, login.tokens, refreshed.tokens, replayed.tokens)

		wantStatus(r.t, kept.answer, http.StatusOK)
		for _, process := range []*serving{r.a, r.b} {
			process.awaitStatus(r.t, "/protected", asking.AccessToken, http.StatusForbidden)
		}
		r.wantAlive(r.next(r.a, kept.tokens), r.begin(r.b, racer, passwords[1]))
		wantStatus(r.t, r.login(r.a, racer, passwords[0]).answer, http.StatusBadRequest)
		slices.Reverse(passwords)
	})
}

func (r *arena) changePassword(s *serving, who tokens, current, replacement string) answer {
	a, err := s.do(r.t.Context(), http.MethodPost, "/password", `{"currentPassword":"`+current+`","newPassword":"`+replacement+`"}`, who.AccessToken)
	if err != nil {
		r.t.Error(err)
	}
	return a
}

// Two that change one password: both know the old one when they are checked, and one of them is told that it is
// wrong by now.
func TestRace_PasswordChangeAgainstPasswordChange(t *testing.T) {
	t.Parallel()
	passwords := []string{firstPassword, secondPassword}
	race(t, onlooker, func(r *arena) {
		one, other := r.begin(r.a, racer, passwords[0]), r.begin(r.b, racer, passwords[0])
		var byOne, byOther answer
		open := r.lineUp(
			func() { byOne = r.changePassword(r.a, one, passwords[0], passwords[1]) },
			func() { byOther = r.changePassword(r.b, other, passwords[0], passwords[1]) },
		)
		r.together(open)
		if byOther.status == http.StatusNoContent {
			one, other, byOne, byOther = other, one, byOther, byOne
		}
		wantStatus(r.t, byOne, http.StatusNoContent)
		wantStatus(r.t, byOther, http.StatusBadRequest)
		r.wantEnded(family.ReasonPassword, other)
		r.wantAlive(r.next(r.b, one))
		slices.Reverse(passwords)
	})
}

// After the change is acknowledged no access token with the old role is believed; the families live, and what
// they refresh to has the new one.
func TestRace_RoleChangeAgainstLoginAndRefresh(t *testing.T) {
	t.Parallel()
	roles := []string{account.RoleUser, "editor"}
	race(t, onlooker, func(r *arena) {
		live := r.begin(r.a, racer, firstPassword)
		parent := r.begin(r.b, racer, firstPassword)
		child := r.next(r.a, parent)
		var login, refreshed, replayed, late outcome
		open := r.lineUp(
			func() { login = r.login(r.a, racer, firstPassword) },
			func() {
				if err := r.beside.service.SetRole(r.t.Context(), operator, racer, roles[1]); err != nil {
					r.t.Error(err)
				}
				late = r.refresh(r.a, child)
			},
		)
		r.together(
			open,
			func() { refreshed = r.refresh(r.b, live) },
			func() { replayed = r.refresh(r.b, parent) },
		)
		for _, o := range []outcome{login, refreshed, late} {
			wantStatus(r.t, o.answer, http.StatusOK)
		}
		r.wantOneOf(replayed, http.StatusOK, http.StatusForbidden)
		if replayed.status == http.StatusForbidden { // it came after the child's own rotation
			r.wantEnded(family.ReasonReuseDetected, parent, child, late.tokens)
		} else {
			r.wantRole(roles[1], r.next(r.b, late.tokens))
		}
		for _, s := range []tokens{live, parent, child, login.tokens, refreshed.tokens, replayed.tokens} {
			if s != (tokens{}) && r.roleIn(s) != roles[1] {
				for _, process := range []*serving{r.a, r.b} {
					process.awaitStatus(r.t, "/protected", s.AccessToken, http.StatusForbidden)
				}
			}
		}
		if role := r.roleIn(late.tokens); role != roles[1] {
			r.t.Errorf("a refresh after the change gave the role %q", role)
		}
		r.wantRole(roles[1], r.next(r.a, refreshed.tokens), r.next(r.b, login.tokens))
		slices.Reverse(roles)
	})
}

func (r *arena) wantRole(role string, sessions ...tokens) {
	r.t.Helper()
	r.wantAlive(sessions...)
	for _, s := range sessions {
		if got := r.roleIn(s); got != role {
			r.t.Errorf("role %q, want %q", got, role)
		}
	}
}

// roleIn reads an access token without checking it.
func (r *arena) roleIn(s tokens) string {
	r.t.Helper()
	_, rest, _ := strings.Cut(s.AccessToken, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		r.t.Fatal(err)
	}
	var claims struct{ Role string }
	if err := json.Unmarshal(text, &claims); err != nil {
		r.t.Fatal(err)
	}
	return claims.Role
}

// However many log in at once, there are never more sessions at the end than the limit, and those that ended
// are the oldest.
func TestRace_LoginsBeyondTheLimitOfSessions(t *testing.T) {
	t.Parallel()
	const limit, atOnce = 3, 5 // of one account no more are let in at once
	newArena(t, fmt.Sprintf("MAX_SESSIONS_PER_USER=%d", limit)).run(rounds(t), onlooker, func(r *arena) {
		old := r.begin(r.a, racer, firstPassword)
		var begun [atOnce]outcome
		var acts []func()
		for i := range begun {
			process := []*serving{r.a, r.b}[i%2]
			acts = append(acts, func() { begun[i] = r.login(process, racer, firstPassword) })
		}
		r.together(acts...)
		alive := 0
		for _, o := range begun {
			wantStatus(r.t, o.answer, http.StatusOK)
			refreshed := r.refresh(r.a, o.tokens)
			if refreshed.status == http.StatusOK {
				alive++
				r.wantAlive(refreshed.tokens)
				continue
			}
			r.wantEnded(family.ReasonSessionLimit, o.tokens)
		}
		r.wantEnded(family.ReasonSessionLimit, old)
		live := look[int](r, `SELECT count(*) FROM token_families f JOIN users u ON u.id = f.user_id WHERE u.username = $1 AND f.revoked_at IS NULL`, racer)
		if alive != limit || live != limit {
			r.t.Errorf("%d of the new sessions live, %d in all, want %d", alive, live, limit)
		}
		younger := look[int](r, `
			SELECT count(*) FROM token_families ended, token_families live
			 WHERE ended.user_id = live.user_id AND ended.revoked_at IS NOT NULL AND live.revoked_at IS NULL AND ended.created_at > live.created_at`)
		if younger != 0 {
			r.t.Error("a session ended that was younger than one that lives")
		}
	})
}

func TestRace_FiftyRegistrationsOfOneNameMakeOneAccount(t *testing.T) {
	t.Parallel()
	const clients = 50
	r := newArena(t, "REGISTRATION=open", "REGISTRATIONS_PER_NETWORK=10000/10000", "GUESSES_OVERALL=10000/10000", "REQUEST_TIMEOUT=20s")
	spellings := []string{"zo\u00eb", "ZOE\u0308", "Zoe\u0308"}
	statuses := map[int]int{}
	var mu sync.Mutex
	var acts []func()
	for i := range clients {
		process, body := []*serving{r.a, r.b}[i%2], `{"username":"`+spellings[i%len(spellings)]+`","password":"`+firstPassword+`"}`
		acts = append(acts, func() {
			a := answer{status: http.StatusServiceUnavailable}
			for a.status == http.StatusServiceUnavailable && r.t.Context().Err() == nil { // too many are hashed at once
				var err error
				if a, err = process.post(r.t.Context(), "/register", body); err != nil {
					r.t.Error(err)
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	r.together(acts...)
	if statuses[http.StatusCreated] != 1 || statuses[http.StatusConflict] != clients-1 {
		t.Errorf("answers by status: %v", statuses)
	}
	if users := look[int](r, `SELECT count(*) FROM users WHERE username_key = $1`, "zo\u00eb"); users != 1 {
		t.Errorf("%d users have the name", users)
	}
	if events := look[int](r, `SELECT count(*) FROM audit_events WHERE kind = $1`, audit.UserCreated); events != 3 {
		t.Errorf("%d events %s, want those of the arena's two users and one", events, audit.UserCreated)
	}
}
