package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/password"
	"kindred/internal/store"
)

// race runs a race of two processes, each round with new families: 25 rounds, or RACE_ROUNDS.
func race(t *testing.T, bystander string, round func(r *arena)) {
	t.Helper()
	newArena(t).run(rounds(t), bystander, round)
}

func rounds(t *testing.T) int {
	t.Helper()
	asked := os.Getenv("RACE_ROUNDS")
	if asked == "" {
		return 25
	}
	n, err := strconv.Atoi(asked)
	if err != nil || n < 1 {
		t.Fatal("RACE_ROUNDS must be a number of rounds")
	}
	return n
}

func TestRace_SixtyRefreshesWithOneTokenGetOneChild(t *testing.T) {
	t.Parallel()
	race(t, racer, sixtyRefreshes)
}

func sixtyRefreshes(r *arena) {
	const clients = 60
	first := r.begin(r.a, racer, firstPassword)
	got := make([]outcome, clients)
	var acts []func()
	for i := range clients {
		process := []*serving{r.a, r.b}[i%2]
		acts = append(acts, func() { got[i] = r.refresh(process, first) })
	}
	r.together(acts...)
	for i, o := range got {
		if o.status != http.StatusOK || o.RefreshToken != got[0].RefreshToken {
			r.t.Errorf("client %d: status %d, same child %v: %s", i, o.status, o.RefreshToken == got[0].RefreshToken, o.body)
		}
	}
	r.wantAlive(got[0].tokens, got[clients-1].tokens)
}

// The first replay holds the family until its commit is on disk, and the disk takes longer over it
// than the others wait for a lock. They have time left, so none is sent away.
func TestRace_SixtyRefreshesWhileTheDiskStallsGetOneChild(t *testing.T) {
	t.Parallel()
	r := newArena(t)
	r.db.Exec(t, `
		CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		    IF NOT EXISTS (SELECT FROM audit_events WHERE family_id = NEW.family_id AND kind = NEW.kind) THEN
		        PERFORM pg_sleep(0.8);
		    END IF;
		    RETURN NEW;
		END $$;
		CREATE TRIGGER stall BEFORE INSERT ON audit_events FOR EACH ROW WHEN (NEW.kind = 'grace_replay') EXECUTE FUNCTION stall()`)
	r.run(2, racer, sixtyRefreshes)
}

// Whichever comes first, after both are answered nothing of the family works.
func TestRace_RefreshAgainstLogout(t *testing.T) {
	t.Parallel()
	race(t, racer, func(r *arena) {
		first := r.begin(r.a, racer, firstPassword)
		var refreshed, ended, late outcome
		r.together(
			func() { refreshed = r.refresh(r.a, first) },
			func() {
				ended = r.ask(r.b, "/logout", refreshBody(first.RefreshToken))
				late = r.refresh(r.a, first)
			},
		)
		r.wantOneOf(refreshed, http.StatusOK, http.StatusForbidden)
		wantStatus(r.t, ended.answer, http.StatusNoContent)
		wantStatus(r.t, late.answer, http.StatusForbidden)
		r.wantEnded(family.ReasonLogout, first, refreshed.tokens)
	})
}

func TestRace_RefreshAgainstReuse(t *testing.T) {
	t.Parallel()
	race(t, racer, func(r *arena) {
		first := r.begin(r.a, racer, firstPassword)
		second := r.next(r.b, first)
		third := r.next(r.a, second)
		var refreshed, reused, late outcome
		r.together(
			func() { refreshed = r.refresh(r.a, third) },
			func() {
				reused = r.refresh(r.b, first)
				late = r.refresh(r.a, third)
			},
		)
		r.wantOneOf(refreshed, http.StatusOK, http.StatusForbidden)
		wantStatus(r.t, reused.answer, http.StatusForbidden)
		wantStatus(r.t, late.answer, http.StatusForbidden)
		r.wantEnded(family.ReasonReuseDetected, first, second, third, refreshed.tokens)
	})
}

// Two thieves at once: the family ends once, and the second finds it ended.
func TestRace_ReuseAgainstReuse(t *testing.T) {
	t.Parallel()
	race(t, racer, func(r *arena) {
		first := r.begin(r.a, racer, firstPassword)
		second := r.next(r.b, first)
		third := r.next(r.a, second)
		var one, other outcome
		r.together(
			func() { one = r.refresh(r.a, first) },
			func() { other = r.refresh(r.b, first) },
		)
		wantStatus(r.t, one.answer, http.StatusForbidden)
		wantStatus(r.t, other.answer, http.StatusForbidden)
		for _, kind := range []audit.Kind{audit.ReuseDetected, audit.FamilyRevoked} {
			if n := r.events(first, kind); n != 1 {
				r.t.Errorf("%d events %s, want one", n, kind)
			}
		}
		r.wantEnded(family.ReasonReuseDetected, first, second, third)
	})
}

// A tab that repeats its refresh while another goes on with the child: the parent is answered with
// that child or, once the child was used, taken for a reuse. Never a second chain.
func TestRace_ReplayAgainstTheChildsOwnRotation(t *testing.T) {
	t.Parallel()
	race(t, racer, func(r *arena) {
		first := r.begin(r.a, racer, firstPassword)
		second := r.next(r.b, first)
		var replayed, rotated outcome
		r.together(
			func() { replayed = r.refresh(r.a, first) },
			func() { rotated = r.refresh(r.b, second) },
		)
		r.wantOneOf(replayed, http.StatusOK, http.StatusForbidden)
		wantStatus(r.t, rotated.answer, http.StatusOK)
		if replayed.status == http.StatusForbidden {
			r.wantEnded(family.ReasonReuseDetected, first, second, rotated.tokens)
			return
		}
		if replayed.RefreshToken != second.RefreshToken {
			r.t.Error("the replay gave another child")
		}
		r.wantAlive(second, replayed.tokens, rotated.tokens)
		r.next(r.a, rotated.tokens)
	})
}

func TestRace_DisableAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	race(t, onlooker, func(r *arena) {
		r.changeOfTheUser(firstPassword, family.ReasonUserDisabled, func(ctx context.Context) error {
			return r.beside.service.DisableUser(ctx, operator, racer)
		})
		if err := r.beside.service.EnableUser(r.t.Context(), operator, racer); err != nil {
			r.t.Fatal(err)
		}
	})
}

// A hash is replaced by another of the same password: nobody notices.
func TestRace_RehashAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	replacements := []string{hashed(t, firstPassword), hashed(t, firstPassword)}
	race(t, racer, func(r *arena) {
		r.changeOfTheUser(firstPassword, "", r.replaceHash(replacements[0], nil))
		slices.Reverse(replacements)
	})
}

// Another password, and the families end with the old one: a login by it is refused, or ended.
func TestRace_ChangedPasswordAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	passwords := []string{firstPassword, secondPassword}
	hashes := map[string]string{firstPassword: hashed(t, firstPassword), secondPassword: hashed(t, secondPassword)}
	race(t, onlooker, func(r *arena) {
		r.changeOfTheUser(passwords[0], family.ReasonSessionEnded, r.replaceHash(hashes[passwords[1]],
			func(ctx context.Context, tx *store.Tx, user account.User) error {
				_, err := tx.RevokeFamilies(ctx, user.ID, uuid.Nil, family.ReasonSessionEnded, audit.ByCLI)
				return err
			}))
		slices.Reverse(passwords)
	})
}

func hashed(t *testing.T, typed string) string {
	t.Helper()
	hasher, err := password.New(password.Config{Params: password.DefaultParams()})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := hasher.Hash(t.Context(), typed)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// replaceHash changes the racer's hash, and then, in a later statement of the transaction, what has to
// change with it.
func (r *arena) replaceHash(replacement string, then func(context.Context, *store.Tx, account.User) error) func(context.Context) error {
	return func(ctx context.Context) error {
		name, err := account.ParseUsername(racer)
		if err != nil {
			return err
		}
		user, err := r.beside.store.UserByName(ctx, name)
		if err != nil {
			return err
		}
		return r.beside.store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			changed, err := tx.ReplacePasswordHash(ctx, user.ID, user.PasswordHash, replacement)
			if err == nil && !changed {
				err = errors.New("the hash was not replaced")
			}
			if err != nil || then == nil {
				return err
			}
			return then(ctx, tx, user)
		})
	}
}

// changeOfTheUser races a change of the racer against its login, a refresh and a replay. A login
// hashes first and would always come last, so it and the change queue for the user's row beforehand.
// why its families end by the change; empty: they must not.
func (r *arena) changeOfTheUser(typed string, why family.Reason, change func(context.Context) error) {
	r.t.Helper()
	live := r.begin(r.a, racer, typed)
	parent := r.begin(r.b, racer, typed)
	child := r.next(r.a, parent)
	var login, refreshed, replayed, late outcome
	open := r.lineUp(
		func() { login = r.login(r.a, racer, typed) },
		func() {
			if err := change(r.t.Context()); err != nil {
				r.t.Error(err)
			}
			late = r.refresh(r.a, live)
		},
	)
	r.together(
		open,
		func() { refreshed = r.refresh(r.b, live) },
		func() { replayed = r.refresh(r.a, parent) },
	)
	if replayed.status == http.StatusOK && replayed.RefreshToken != child.RefreshToken {
		r.t.Error("the replay gave another child")
	}
	known := []tokens{live, parent, child, login.tokens, refreshed.tokens, replayed.tokens}
	if why == "" {
		for _, o := range []outcome{login, refreshed, replayed, late} {
			wantStatus(r.t, o.answer, http.StatusOK)
		}
		r.wantAlive(known...)
		return
	}
	r.wantOneOf(login, http.StatusOK, http.StatusBadRequest)
	r.wantOneOf(refreshed, http.StatusOK, http.StatusForbidden)
	r.wantOneOf(replayed, http.StatusOK, http.StatusForbidden)
	wantStatus(r.t, late.answer, http.StatusForbidden)
	r.wantEnded(why, known...)
}

// A login that began before the end of all sessions does not outlive it.
func TestRace_EndOfAllSessionsAgainstLogin(t *testing.T) {
	t.Parallel()
	race(t, onlooker, func(r *arena) {
		asking := r.begin(r.a, racer, firstPassword)
		endAll := func(process *serving) {
			a, err := process.do(r.t.Context(), http.MethodDelete, "/sessions", "", asking.AccessToken)
			if err != nil {
				r.t.Error(err)
			}
			wantStatus(r.t, a, http.StatusNoContent)
			wantStatus(r.t, r.refresh(process, asking).answer, http.StatusForbidden)
		}
		var login outcome
		open := r.lineUp(
			func() { login = r.login(r.a, racer, firstPassword) },
			func() { endAll(r.a) },
			func() { endAll(r.b) },
		)
		r.together(open)
		wantStatus(r.t, login.answer, http.StatusOK)
		r.wantEnded(family.ReasonSessionEnded, asking)
		outlived := look[int](r, `
			SELECT count(*) FROM token_families f JOIN token_families asking ON asking.id = (`+familyOf+`)
			 WHERE f.user_id = asking.user_id AND f.revoked_at IS NULL AND f.created_at < asking.revoked_at`, hashOf(asking))
		if outlived != 0 {
			r.t.Errorf("%d families that began before the end of all outlived it", outlived)
		}
	})
}

// Somebody else holds the families for longer than anybody waits: 503, nothing is done then or later,
// and every token is as good as before.
func TestRace_RefreshWhileTheFamilyIsHeldForTooLong(t *testing.T) {
	t.Parallel()
	const atOnce = 8 // families, with fewer requests than the processes have connections
	newArena(t, "REQUEST_TIMEOUT=2s").run((rounds(t)+atOnce-1)/atOnce, racer, func(r *arena) {
		var parents, children [atOnce]tokens
		var acts []func()
		refused := func(process *serving, of tokens) func() {
			return func() {
				o := r.refresh(process, of)
				if o.status != http.StatusServiceUnavailable || o.header.Get("Retry-After") == "" {
					r.t.Errorf("status %d, Retry-After %q: %s", o.status, o.header.Get("Retry-After"), o.body)
				}
			}
		}
		for i := range atOnce {
			parents[i] = r.begin(r.a, racer, firstPassword)
			children[i] = r.next(r.b, parents[i])
			acts = append(acts, refused(r.a, children[i]), refused(r.b, children[i]), refused(r.b, parents[i]))
		}
		before := r.state()
		release := r.hold(`SELECT FROM token_families FOR UPDATE`)
		r.together(acts...)
		release()
		r.awaitIdle()
		if r.state() != before {
			r.t.Error("something changed that was answered with 503")
		}
		for i := range atOnce {
			if r.next(r.a, parents[i]).RefreshToken != children[i].RefreshToken {
				r.t.Error("the replay gave another child")
			}
			r.next(r.b, children[i])
		}
	})
}
