package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

// standbys says which synchronous standbys the server waits for, and returns once its sessions do.
func standbys(t *testing.T, server *testdb.Server, names string) {
	t.Helper()
	server.Exec(t, `ALTER SYSTEM SET synchronous_standby_names = '`+names+`'`)
	server.Exec(t, `SELECT pg_reload_conf()`)
	for one[string](t, &server.DB, `SHOW synchronous_standby_names`) != names {
	}
}

// PostgreSQL gives up waiting for a standby when the request's time is up, and says that all is well. Nothing is
// acknowledged that a failover may lose; it may stand all the same, and whoever comes again is no thief.
func TestUnreplicated_IsNotAcknowledged(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t, "wal_level=replica", "max_wal_senders=2")
	r := newReplica(t, &server.DB)
	r.addUser(t, "ana")
	refreshed, ended, probe := r.login(t, "ana"), r.login(t, "ana"), r.login(t, "ana").RefreshToken
	standbys(t, server, "nobody")
	inTime := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	// The server hears of the setting by and by: a write that waits tells that it holds.
	for waits := false; !waits; {
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if next, err := r.Refresh(inTime(), caller, probe, auth.ClientCredentials{}); err == nil {
				probe = next.RefreshToken
			}
		}()
		for over := false; !waits && !over; {
			waits = one[int64](t, &server.DB, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`) > 0
			select {
			case <-answered:
				over = true
			default:
			}
		}
		<-answered
	}
	if _, err := r.Refresh(inTime(), caller, refreshed.RefreshToken, auth.ClientCredentials{}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("refresh: %v", err)
	}
	if err := r.Logout(inTime(), caller, auth.LogoutRequest{RefreshToken: ended.RefreshToken}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("logout: %v", err)
	}
	standbys(t, server, "")
	if n := one[int64](t, &server.DB, `SELECT count(*) FROM token_families WHERE generation > 0`); n != 2 {
		t.Errorf("%d families were rotated: one rotation does not stand, so that nothing was tried", n)
	}
	server.Advance(t, time.Minute) // beyond the reuse interval
	r.refresh(t, refreshed.RefreshToken)
	r.wantRefused(t, ended.RefreshToken)
}
