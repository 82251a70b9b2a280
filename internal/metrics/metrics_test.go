package metrics_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kindred/internal/auth"
	"kindred/internal/metrics"
	"kindred/internal/password"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/token"
)

// values are the samples by name and labels; a histogram's is how many it has.
func values(t testing.TB, m *metrics.Metrics) map[string]float64 {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			var labels []string
			for _, label := range metric.Label {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			name := strings.Join(append([]string{family.GetName()}, labels...), " ")
			all[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// A request pays for what was not seen before, and for nothing else. Alone, since it counts everybody's.
func TestObserved_AllocatesNothing(t *testing.T) {
	m := metrics.New(metrics.Build{})
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		m.Observed(ctx, "/token", 200, time.Millisecond)
		m.Refreshed(auth.Rotated)
		m.Rotating(1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestObserved_NoAnswerIsLostWhileSeriesAreAdded(t *testing.T) {
	t.Parallel()
	const askers, times = 8, 50
	m := metrics.New(metrics.Build{})
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for status := range times {
				m.Observed(t.Context(), "/token", 200+status, time.Millisecond)
			}
		})
	}
	asking.Wait()
	all := values(t, m)
	for _, status := range []string{"200", "249"} {
		if got := all["kindred_http_requests_total route=/token status="+status]; got != askers {
			t.Errorf("%v answers %s, want %d", got, status, askers)
		}
	}
	if got := all["kindred_http_request_duration_seconds route=/token"]; got != askers*times {
		t.Errorf("%v durations, want %d", got, askers*times)
	}
}

// Each verdict, reason and kind is there from the start: a rate sees no first increment of what was not.
func TestNew_SeriesOfOurListsAreThereFromTheStart(t *testing.T) {
	t.Parallel()
	all := values(t, metrics.New(metrics.Build{Version: "1.2", Go: "go", Schema: "13"}))
	for name, want := range map[string]float64{
		"kindred_refreshes_total verdict=paced_theft": 0, "kindred_families_revoked_total reason=user_deleted": 0,
		"kindred_audit_events_total kind=login_refused": 0, "kindred_build_info go=go schema=13 version=1.2": 1,
	} {
		if got, there := all[name]; !there || got != want {
			t.Errorf("%s: %v, there %v", name, got, there)
		}
	}
}

// What the database said last stays, with its time, when it says nothing more; and it is asked once a minute,
// however many scrape.
func TestRun_RemembersWhatWasRead(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	follow(t, m)
	synctest.Test(t, func(t *testing.T) {
		began, alive, questions := time.Now(), 17.0, 0
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			m.Run(ctx, func(context.Context) (store.Figures, error) {
				questions++
				if questions > 2 {
					return store.Figures{}, errors.New("away")
				}
				if questions == 1 {
					return store.Figures{}, nil // nobody has analysed
				}
				return store.Figures{Families: &alive, TokensAhead: -time.Hour}, nil
			})
		})
		synctest.Wait()
		if _, there := values(t, m)["kindred_families_alive"]; there {
			t.Error("families are counted that nobody has estimated")
		}
		time.Sleep(5*time.Minute + time.Second) // by synctest's clock, at once: five more readings
		for range 100 {
			values(t, m)
		}
		cancel()
		running.Wait()
		all := values(t, m)
		if questions != 6 || all["kindred_families_alive"] != alive || all["kindred_partitions_ahead_seconds table=refresh_tokens"] != -3600 ||
			all["kindred_database_read_timestamp_seconds"] != float64(began.Add(time.Minute).Unix()) {
			t.Errorf("%d questions, figures %v", questions, all)
		}
	})
}

// Before the database has said anything there is nothing to say of it, rather than a zero.
func TestFollow_NothingIsInvented(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	follow(t, m)
	all := values(t, m)
	for _, name := range []string{
		"kindred_families_alive", "kindred_database_clock_offset_seconds", "kindred_partitions_ahead_seconds table=audit_events",
		"kindred_feed_age_seconds", "kindred_signing_key_age_seconds", "kindred_signing_key_next_seconds",
	} {
		if _, there := all[name]; there {
			t.Errorf("%s is there", name)
		}
	}
	for name, want := range map[string]float64{
		"kindred_database_read_timestamp_seconds": 0, "kindred_maintenance_success_timestamp_seconds": 0, "kindred_feed_fresh": 0,
		"kindred_hash_slots": 3, "kindred_pool_connections_max": 16,
	} {
		if got, there := all[name]; !there || got != want {
			t.Errorf("%s: %v, there %v; %v", name, got, there, slices.Sorted(maps.Keys(all)))
		}
	}
}

// follow lets m follow parts whose database nobody reaches.
func follow(t testing.TB, m *metrics.Metrics) {
	t.Helper()
	st, err := store.Open(store.Config{URL: "postgres://127.0.0.1:1/none", RequestTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	hasher, err := password.New(password.Config{Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}, Slots: 3})
	if err != nil {
		t.Fatal(err)
	}
	m.Follow(metrics.Parts{Store: st, Hasher: hasher, Blacklist: revocation.NewSet(time.Now), Keys: token.NewKeys()})
}

// A run that failed is counted, and what it did before it failed is too.
func TestMaintained_FailureKeepsTheTimeOfTheLastSuccess(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	m.Maintained(auth.Purged{Families: 3, Partitions: []string{"a", "b"}, InUse: 1}, errors.New("away"))
	all := values(t, m)
	if all["kindred_maintenance_failures_total"] != 1 || all["kindred_maintenance_success_timestamp_seconds"] != 0 ||
		all["kindred_purged_families_total"] != 3 || all["kindred_purged_partitions_total"] != 2 || all["kindred_purge_partitions_in_use"] != 1 {
		t.Errorf("figures %v", all)
	}
	m.Maintained(auth.Purged{}, nil)
	if all := values(t, m); all["kindred_maintenance_success_timestamp_seconds"] == 0 || all["kindred_maintenance_failures_total"] != 1 || all["kindred_purge_partitions_in_use"] != 0 {
		t.Errorf("figures %v", all)
	}
}
