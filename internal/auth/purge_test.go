package auth_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

var cron = auth.Caller{Actor: "cli"}

const week = 7 * 24 * time.Hour

func keepingEvents(retention time.Duration) option {
	return func(c *auth.Config, _ *[]string) { c.AuditRetention = retention }
}

func (r replica) purge(t testing.TB) auth.Purged {
	t.Helper()
	purged, err := r.Purge(t.Context(), cron)
	if err != nil {
		t.Fatal(err)
	}
	return purged
}

func TestPurge_WhatHasEndedGoesAndWhatLivesStays(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, keepingEvents(10*week))
	r.addUser(t, "ana")
	for range 3 {
		r.refresh(t, r.login(t, "ana").RefreshToken)
	}
	if purged := r.purge(t); purged.Families != 0 || purged.Partitions != nil {
		t.Errorf("purged %+v of what lives", purged)
	}

	db.Advance(t, lifetime+23*time.Hour)
	if purged := r.purge(t); purged.Families != 0 {
		t.Errorf("purged %+v less than a day after the end", purged)
	}
	db.Advance(t, 2*week)
	living := r.login(t, "ana")
	purged := r.purge(t)
	if purged.Families != 3 || len(purged.Partitions) == 0 || !strings.HasPrefix(purged.Partitions[0], "refresh_tokens_p") {
		t.Errorf("purged %+v, want 3 families and their partition", purged)
	}
	if left := one[int](t, db, `SELECT count(*)::int FROM refresh_tokens`); left != 1 {
		t.Errorf("%d tokens are left, want the living family's own", left)
	}
	r.refresh(t, living.RefreshToken)
	if n := one[int](t, db, `SELECT count(*)::int FROM audit_events WHERE kind = 'login_ok'`); n != 4 {
		t.Errorf("%d logins are in the audit trail, want 4 for as long as they are kept", n)
	}
	db.Advance(t, 12*week) // a partition goes whole
	r.purge(t)
	r.login(t, "ana") // into partitions that the purge has made
	if n := one[int](t, db, `SELECT count(*)::int FROM audit_events WHERE kind = 'login_ok'`); n != 1 {
		t.Errorf("%d logins are in the audit trail, want the last", n)
	}
	if kinds := events(t, db); count(kinds, "purged") == 0 {
		t.Errorf("no purge is in the audit trail: %v", kinds)
	}
	r.wantInvariants(t)
}

// A token of a family that was purged is one of an unknown family: refused, and nothing else.
func TestPurge_OldTokensAreRefused(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, keepingEvents(10*week))
	r.addUser(t, "ana")
	tokens := r.login(t, "ana")
	db.Advance(t, lifetime+2*week)
	r.wantRefused(t, tokens.RefreshToken)
	r.purge(t)
	r.wantRefused(t, tokens.RefreshToken)
}

func TestPurge_TheTokensOfAFamilyThatSomebodyHoldsStay(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, keepingEvents(10*week))
	r.addUser(t, "ana")
	r.login(t, "ana")
	r.login(t, "ana")
	db.Advance(t, lifetime+2*week)
	holder, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT FROM token_families ORDER BY id LIMIT 1 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if purged := r.purge(t); purged.Families != 1 || len(purged.Partitions) != 0 {
		t.Errorf("purged %+v, want the other family only", purged)
	}
	r.wantInvariants(t)
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if purged := r.purge(t); purged.Families != 1 || len(purged.Partitions) == 0 {
		t.Errorf("purged %+v, want the rest", purged)
	}
}

// Somebody reads the partition for a long time. The drop gives up each time it has waited 50 ms, so that
// refreshes go on; it is done once the reader has gone.
func TestPurge_WaitsForNobodyLong(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db, keepingEvents(10*week))
	r.addUser(t, "ana")
	r.login(t, "ana")
	db.Advance(t, lifetime+2*week)
	token := r.login(t, "ana").RefreshToken
	reader, err := db.Conn(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `SELECT count(*) FROM refresh_tokens`); err != nil {
		t.Fatal(err)
	}
	var purging sync.WaitGroup
	ended := make(chan struct{})
	purging.Go(func() {
		defer close(ended)
		purged, err := r.Purge(t.Context(), cron)
		if err != nil || purged.Families != 1 || len(purged.Partitions) != 0 || purged.InUse != 1 {
			t.Errorf("purged %+v, error %v; want the family, and its partition left", purged, err)
		}
	})
	refreshes := 0
	for going := true; going; refreshes++ {
		select {
		case <-ended:
			going = false
		default:
		}
		token = r.refresh(t, token).RefreshToken
	}
	purging.Wait()
	if refreshes < 2 {
		t.Errorf("%d refreshes while the purge tried", refreshes)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if purged := r.purge(t); len(purged.Partitions) == 0 {
		t.Errorf("purged %+v after the reader had gone", purged)
	}
	r.wantInvariants(t)
}

func TestPurge_OfSeveralAtOnceEachFamilyGoesOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	replicas := []replica{newReplica(t, db, keepingEvents(10*week)), newReplica(t, db, keepingEvents(10*week))}
	replicas[0].addUser(t, "ana")
	for range 20 {
		replicas[0].login(t, "ana")
	}
	db.Advance(t, lifetime+2*week)
	var at sync.WaitGroup
	var mu sync.Mutex
	families, dropped := 0, []string{}
	for i := range 6 {
		at.Go(func() {
			purged, err := replicas[i%2].Purge(t.Context(), cron)
			mu.Lock()
			defer mu.Unlock()
			families, dropped = families+purged.Families, append(dropped, purged.Partitions...)
			if err != nil {
				t.Error(err)
			}
		})
	}
	at.Wait()
	rest := replicas[0].purge(t) // whoever found another at it did nothing
	families, dropped = families+rest.Families, append(dropped, rest.Partitions...)
	slices.Sort(dropped)
	if families != 20 || len(dropped) == 0 || len(slices.Compact(slices.Clone(dropped))) != len(dropped) {
		t.Errorf("purged %d families, partitions %v", families, dropped)
	}
	replicas[0].wantInvariants(t)
}

// Whatever it is asked: the function itself drops nothing that is not past.
func TestPurge_TheDatabaseKeepsWhatIsNotPast(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.login(t, "ana")
	_, err := db.Conn(t).Exec(t.Context(), `SELECT kindred_drop_past_partition('refresh_tokens', current_date + 1)`)
	if err == nil || !strings.Contains(err.Error(), "dropped once they are past") {
		t.Errorf("error %v", err)
	}
	db.Advance(t, lifetime+2*week)
	if name := one[*string](t, db, `SELECT kindred_drop_past_partition('refresh_tokens', (clock_timestamp() AT TIME ZONE 'UTC')::date)`); name != nil {
		t.Errorf("dropped %s, in which a family lies that was not deleted", *name)
	}
}
