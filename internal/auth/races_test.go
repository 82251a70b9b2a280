package auth_test

import (
	"errors"
	"os"
	"strconv"
	"sync"
	"testing"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// rounds of each race; RACE_ROUNDS asks for more.
func rounds(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("RACE_ROUNDS"))
	if os.Getenv("RACE_ROUNDS") == "" {
		return 25
	}
	if err != nil || n < 1 {
		t.Fatalf("RACE_ROUNDS must be a number of rounds")
	}
	return n
}

// together runs all at once and returns their errors by position.
func together(acts ...func() error) []error {
	errs := make([]error, len(acts))
	var ready, done sync.WaitGroup
	ready.Add(len(acts))
	for i, act := range acts {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			errs[i] = act()
		})
	}
	done.Wait()
	return errs
}

// race sets two replicas against each other on one database, and looks at the invariants each round.
func race(t *testing.T, round func(t *testing.T, db *testdb.DB, a, b replica)) {
	t.Helper()
	db := testdb.New(t)
	a, b := newReplica(t, db), newReplica(t, db)
	a.addUser(t, "ana")
	for range rounds(t) {
		round(t, db, a, b)
		a.wantInvariants(t)
		if t.Failed() {
			return
		}
	}
}

func TestRace_SixtyRefreshesWithOneTokenGetOneChild(t *testing.T) {
	t.Parallel()
	race(t, func(t *testing.T, db *testdb.DB, a, b replica) {
		const clients = 60
		first := a.login(t, "ana")
		got := make([]auth.Tokens, clients)
		var acts []func() error
		for i := range clients {
			r := []replica{a, b}[i%2]
			acts = append(acts, func() (err error) {
				got[i], err = r.Refresh(t.Context(), caller, first.RefreshToken, "")
				return err
			})
		}
		for i, err := range together(acts...) {
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			} else if got[i].RefreshToken != got[0].RefreshToken {
				t.Errorf("client %d got another child", i)
			}
		}
		if n := one[int](t, db, `SELECT generation FROM token_families ORDER BY id DESC LIMIT 1`); n != 1 {
			t.Errorf("generation %d, want one child", n)
		}
	})
}

// Whichever comes first, after both are answered nothing of the family works.
func TestRace_RefreshAgainstLogout(t *testing.T) {
	t.Parallel()
	race(t, func(t *testing.T, _ *testdb.DB, a, b replica) {
		first := a.login(t, "ana")
		child := first
		errs := together(
			func() error {
				tokens, err := a.Refresh(t.Context(), caller, first.RefreshToken, "")
				if err == nil {
					child = tokens
				}
				return err
			},
			func() error {
				return b.Logout(t.Context(), caller, auth.LogoutRequest{RefreshToken: first.RefreshToken})
			},
		)
		if errs[0] != nil && !errors.Is(errs[0], auth.ErrInvalidRefreshToken) || errs[1] != nil {
			t.Errorf("errors %v", errs)
		}
		wantDead(t, child, a, b)
	})
}

func TestRace_RefreshAgainstReuse(t *testing.T) {
	t.Parallel()
	race(t, func(t *testing.T, _ *testdb.DB, a, b replica) {
		first := a.login(t, "ana")
		second := a.refresh(t, first.RefreshToken)
		third := b.refresh(t, second.RefreshToken)
		child := third
		errs := together(
			func() error {
				tokens, err := a.Refresh(t.Context(), caller, third.RefreshToken, "")
				if err == nil {
					child = tokens
				}
				return err
			},
			func() error { _, err := b.Refresh(t.Context(), caller, first.RefreshToken, ""); return err },
			func() error { _, err := a.Refresh(t.Context(), caller, first.RefreshToken, ""); return err },
		)
		if !errors.Is(errs[1], auth.ErrInvalidRefreshToken) || !errors.Is(errs[2], auth.ErrInvalidRefreshToken) {
			t.Errorf("the thieves' errors: %v", errs[1:])
		}
		wantDead(t, child, a, b)
	})
}

// A tab that repeats its refresh while another tab goes on with the child: the parent is either
// answered with that child or, once the child was used, taken for a reuse. Never a second chain.
func TestRace_ReplayAgainstTheChildsOwnRotation(t *testing.T) {
	t.Parallel()
	race(t, func(t *testing.T, _ *testdb.DB, a, b replica) {
		first := a.login(t, "ana")
		second := a.refresh(t, first.RefreshToken)
		var replayed, third auth.Tokens
		errs := together(
			func() (err error) {
				replayed, err = a.Refresh(t.Context(), caller, first.RefreshToken, "")
				return err
			},
			func() (err error) {
				third, err = b.Refresh(t.Context(), caller, second.RefreshToken, "")
				return err
			},
		)
		switch {
		case errs[0] == nil && errs[1] == nil:
			if replayed.RefreshToken != second.RefreshToken {
				t.Error("the replay gave another child")
			}
			a.refresh(t, third.RefreshToken)
		case errors.Is(errs[0], auth.ErrInvalidRefreshToken):
			if errs[1] == nil {
				wantDead(t, third, a, b)
			}
		default:
			t.Errorf("errors %v", errs)
		}
	})
}

func TestRace_DisableAgainstLoginRefreshAndReplay(t *testing.T) {
	t.Parallel()
	race(t, func(t *testing.T, _ *testdb.DB, a, b replica) {
		first := a.login(t, "ana")
		live := a.login(t, "ana")
		second := a.refresh(t, first.RefreshToken)
		var got [3]auth.Tokens
		errs := together(
			func() error { return b.DisableUser(t.Context(), caller, "ana") },
			func() (err error) {
				got[0], err = a.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
				return err
			},
			func() (err error) {
				got[1], err = a.Refresh(t.Context(), caller, live.RefreshToken, "")
				return err
			},
			func() (err error) {
				got[2], err = b.Refresh(t.Context(), caller, first.RefreshToken, "")
				return err
			},
		)
		if errs[0] != nil {
			t.Errorf("disable: %v", errs[0])
		}
		if errs[1] != nil && !errors.Is(errs[1], auth.ErrInvalidCredentials) {
			t.Errorf("login: %v", errs[1])
		}
		for i, err := range errs[2:] {
			if err != nil && !errors.Is(err, auth.ErrInvalidRefreshToken) {
				t.Errorf("refresh %d: %v", i, err)
			}
		}
		for _, tokens := range append(got[:], second, live) {
			if tokens.RefreshToken != "" {
				wantDead(t, tokens, a, b)
			}
		}
		if err := a.EnableUser(t.Context(), caller, "ana"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRace_EndAllAgainstLogin(t *testing.T) {
	t.Parallel()
	race(t, func(t *testing.T, db *testdb.DB, a, b replica) {
		session := a.login(t, "ana")
		who := a.wantSignedIn(t, session)
		errs := together(
			func() error { return b.EndSessions(t.Context(), caller, who, false) },
			func() error {
				_, err := a.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
				return err
			},
			func() error { return a.EndSessions(t.Context(), caller, who, false) },
		)
		for _, err := range errs {
			if err != nil {
				t.Errorf("errors %v", errs)
			}
		}
		wantDead(t, session, a, b)
		// A login that began before the end must not outlive it.
		survivors := one[int](t, db, `
			SELECT count(*) FROM token_families f WHERE f.revoked_at IS NULL
			   AND f.created_at < (SELECT min(revoked_at) FROM token_families WHERE id = $1)`, who.SessionID)
		if survivors != 0 {
			t.Errorf("%d families that began before it outlived the end of all", survivors)
		}
	})
}

func wantDead(t *testing.T, tokens auth.Tokens, replicas ...replica) {
	t.Helper()
	for _, r := range replicas {
		r.wantRefused(t, tokens.RefreshToken)
		r.wantSignedOut(t, tokens)
	}
}
