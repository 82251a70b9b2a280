package auth_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// A client that a restore cut off tries again and again, and whoever has the MAC key can do so with any
// family: the trail has the first in a minute.
func TestLostTokens_TheFirstInAMinuteIsAudited(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	one, other := r.login(t, "ana"), r.login(t, "ana")
	lose := func(times int, want int) {
		t.Helper()
		for range times {
			for _, tokens := range []auth.Tokens{one, other} {
				r.wantRefused(t, forge(t, tokens.RefreshToken, true))
				if err := r.Revoke(t.Context(), caller, auth.ClientCredentials{}, forge(t, tokens.RefreshToken, false)); err != nil {
					t.Error(err)
				}
			}
		}
		if n := count(events(t, db), "token_lost"); n != want {
			t.Errorf("%d lost tokens in the audit trail, want %d", n, want)
		}
	}
	lose(3, 2)
	db.Advance(t, time.Minute)
	lose(2, 4)
	r.refresh(t, one.RefreshToken)
}

// What cannot be recorded does not happen, and the caller is told to try again.
func TestAudit_WithoutItsRecordNothingHappens(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.addUser(t, "bob")
	if err := r.DisableUser(t.Context(), caller, "bob"); err != nil {
		t.Fatal(err)
	}
	shop := r.addClient(t, "shop", "confidential", false)
	replayed, reused, live := r.login(t, "ana"), r.login(t, "ana"), r.login(t, "ana")
	who := r.wantSignedIn(t, live)
	const newPassword = "quite another battery"
	r.refresh(t, replayed.RefreshToken)
	r.refresh(t, r.refresh(t, reused.RefreshToken).RefreshToken)
	for name, act := range map[string]func() error{
		"register": func() error { _, err := r.Register(t.Context(), caller, "eve", userPassword); return err },
		"login": func() error {
			_, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: userPassword})
			return err
		},
		"refused login": func() error {
			_, err := r.Login(t.Context(), caller, auth.LoginRequest{Username: "ana", Password: "a wrong password"})
			return err
		},
		"replay": func() error {
			_, err := r.Refresh(t.Context(), caller, replayed.RefreshToken, auth.ClientCredentials{})
			return err
		},
		"reuse": func() error {
			_, err := r.Refresh(t.Context(), caller, reused.RefreshToken, auth.ClientCredentials{})
			return err
		},
		"lost token": func() error {
			_, err := r.Refresh(t.Context(), caller, forge(t, live.RefreshToken, true), auth.ClientCredentials{})
			return err
		},
		"logout":               func() error { return r.Logout(t.Context(), caller, auth.LogoutRequest{AccessToken: live.AccessToken}) },
		"revoke":               func() error { return r.Revoke(t.Context(), caller, auth.ClientCredentials{}, live.RefreshToken) },
		"revoke access":        func() error { return r.Revoke(t.Context(), caller, auth.ClientCredentials{}, live.AccessToken) },
		"end a session":        func() error { return r.EndSession(t.Context(), caller, who, who.SessionID) },
		"end sessions":         func() error { return r.EndSessions(t.Context(), caller, who, false) },
		"disable":              func() error { return r.DisableUser(t.Context(), caller, "ana") },
		"enable":               func() error { return r.EnableUser(t.Context(), caller, "bob") },
		"role":                 func() error { return r.SetRole(t.Context(), caller, "ana", "operator") },
		"delete":               func() error { return r.DeleteUser(t.Context(), caller, "ana") },
		"delete me":            func() error { return r.DeleteMe(t.Context(), caller, who, userPassword) },
		"password":             func() error { return r.ChangePassword(t.Context(), caller, who, userPassword, newPassword) },
		"wrong password":       func() error { return r.ChangePassword(t.Context(), caller, who, "a wrong password", newPassword) },
		"set password":         func() error { return r.SetPassword(t.Context(), caller, "ana", newPassword) },
		"reset link":           func() error { _, err := r.MakeResetLink(t.Context(), caller, "ana"); return err },
		"admin ends a session": func() error { return r.RevokeSession(t.Context(), caller, who.SessionID) },
		"admin ends sessions":  func() error { _, err := r.RevokeSessions(t.Context(), caller, "ana"); return err },
		"client secret":        func() error { _, err := r.RotateClientSecret(t.Context(), caller, shop.ID); return err },
		"end a client":         func() error { return r.DisableClient(t.Context(), caller, shop.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			before, trail := state(t, db), events(t, db)
			db.Exec(t, `
				CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
				CREATE TRIGGER refuse BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse()`)
			defer db.Exec(t, `DROP FUNCTION refuse CASCADE`)
			if err := act(); !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("error %v, want ErrUnavailable", err)
			}
			if after := state(t, db); after != before {
				t.Errorf("without its record it changed\n%s to\n%s", before, after)
			}
			if after := events(t, db); !slices.Equal(after, trail) {
				t.Errorf("audit trail %q", after)
			}
		})
	}
}

// Where many sessions end at once each row names its own client.
func TestAudit_EndOfAllSessionsNamesTheClients(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.login(t, "ana")
	r.loginBy(t, r.addClient(t, "shop", "confidential", false), "ana")
	if err := r.DisableUser(t.Context(), caller, "ana"); err != nil {
		t.Fatal(err)
	}
	page, err := r.Events(t.Context(), auth.EventQuery{Kinds: []string{"family_revoked"}}, auth.Page{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if list := page.Events; len(list) != 2 || list[0].ClientID != "shop" || list[1].ClientID != "kindred" {
		t.Errorf("ends of sessions: %v", list)
	}
}

// Rows of a binary from before there was the column.
func TestEvents_ReasonsOfOlderRowsAreRead(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	db.Exec(t, `INSERT INTO audit_events (id, at, kind, detail) VALUES
		(gen_random_uuid(), clock_timestamp(), 'family_revoked', '{"reason": "logout"}'),
		(gen_random_uuid(), clock_timestamp(), 'login_refused', '{"why": "wrong_password"}'),
		(gen_random_uuid(), clock_timestamp(), 'login_ok', '{}')`)
	for kind, want := range map[string]string{"family_revoked": "logout", "login_refused": "wrong_password", "login_ok": ""} {
		page, err := r.Events(t.Context(), auth.EventQuery{Kinds: []string{kind}}, auth.Page{Limit: 1})
		if err != nil || len(page.Events) != 1 || page.Events[0].Reason != want {
			t.Errorf("%s: %v, error %v, want reason %q", kind, page.Events, err, want)
		}
	}
}
