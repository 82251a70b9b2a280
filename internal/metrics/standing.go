package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kindred/internal/password"
	"kindred/internal/revocation"
	"kindred/internal/store"
	"kindred/internal/token"
)

// Parts are those of a replica that tell how they stand. Each answers from memory.
type Parts struct {
	Store     *store.Store
	Hasher    *password.Hasher
	Blacklist *revocation.Set
	Keys      *token.Keys
}

// Follow adds the figures that are read from the parts at each scrape, and those that Run remembers. To be
// called once, before the first scrape.
func (m *Metrics) Follow(p Parts) {
	m.followPool(p.Store.PoolLoad)
	m.followHashes(p.Hasher.Load)
	m.followFeed(p.Blacklist)
	m.followKeys(p.Keys)
	m.followDatabase()
}

func (m *Metrics) followPool(load func() store.PoolLoad) {
	const connections, help = "kindred_pool_connections", "Connections of the pool to PostgreSQL, by what they do."
	m.standing(connections, help, prometheus.GaugeValue, func() (float64, bool) { return float64(load().InUse), true }, "state", "in_use")
	m.standing(connections, help, prometheus.GaugeValue, func() (float64, bool) { return float64(load().Idle), true }, "state", "idle")
	m.standing(connections, help, prometheus.GaugeValue, func() (float64, bool) { return float64(load().Opening), true }, "state", "opening")
	m.standing("kindred_pool_connections_max", "Connections that the pool opens at most.", prometheus.GaugeValue,
		func() (float64, bool) { return float64(load().Max), true })
	m.standing("kindred_pool_acquired_total", "Times that a connection was taken from the pool.", prometheus.CounterValue,
		func() (float64, bool) { return float64(load().Acquired), true })
	m.standing("kindred_pool_waited_total", "Times of these that no connection was free.", prometheus.CounterValue,
		func() (float64, bool) { return float64(load().Waited), true })
	m.standing("kindred_pool_wait_seconds_total", "How long those waited, in all.", prometheus.CounterValue,
		func() (float64, bool) { return load().WaitedFor.Seconds(), true })
	m.standing("kindred_pool_gave_up_total", "Times that a wait for a connection was in vain.", prometheus.CounterValue,
		func() (float64, bool) { return float64(load().GaveUp), true })
}

func (m *Metrics) followHashes(load func() password.Load) {
	m.standing("kindred_hash_slots", "Passwords that are hashed at once, at most.", prometheus.GaugeValue,
		func() (float64, bool) { return float64(load().Slots), true })
	m.standing("kindred_hashes_running", "Passwords that are being hashed.", prometheus.GaugeValue,
		func() (float64, bool) { return float64(load().Hashing), true })
	m.standing("kindred_hashes_waiting", "Passwords that wait to be hashed.", prometheus.GaugeValue,
		func() (float64, bool) { return float64(load().Waiting), true })
	m.standing("kindred_hashes_refused_total", "Passwords that were not hashed, since too many waited already.", prometheus.CounterValue,
		func() (float64, bool) { return float64(load().Refused), true })
}

func (m *Metrics) followFeed(set *revocation.Set) {
	m.standing("kindred_feed_age_seconds", "How long ago the newest reading of the blacklist was asked for.", prometheus.GaugeValue,
		func() (float64, bool) {
			age, _, ok := set.Reading()
			return age.Seconds(), ok
		})
	m.standing("kindred_feed_fresh", "1 while access tokens are checked without the database.", prometheus.GaugeValue,
		func() (float64, bool) { return oneIf(set.Fresh()), true })
	m.standing("kindred_feed_entries", "Revocations on this replica's blacklist.", prometheus.GaugeValue,
		func() (float64, bool) {
			_, entries, _ := set.Reading()
			return float64(entries), true
		})
}

func (m *Metrics) followKeys(keys *token.Keys) {
	m.standing("kindred_signing_key_age_seconds", "How long the key has signed that signs access tokens; none with HS256.", prometheus.GaugeValue,
		func() (float64, bool) {
			now := m.databaseNow()
			since, _ := keys.SigningSince(now)
			return now.Sub(since).Seconds(), !since.IsZero()
		})
	m.standing("kindred_signing_key_next_seconds", "In how long the next key begins to sign; none where there is no next one.", prometheus.GaugeValue,
		func() (float64, bool) {
			now := m.databaseNow()
			_, next := keys.SigningSince(now)
			return next.Sub(now).Seconds(), !next.IsZero()
		})
}

// databaseNow is the database's clock, as far as it is known.
func (m *Metrics) databaseNow() time.Time {
	if reading := m.database.Load(); reading != nil {
		return time.Now().Add(-reading.ClockOffset)
	}
	return time.Now()
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// standing is a figure that is read at each scrape, and may be absent.
type standing struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func() (float64, bool)
}

// standing adds one; label is a label's name and its value, if it has one.
func (m *Metrics) standing(name, help string, kind prometheus.ValueType, value func() (float64, bool), label ...string) {
	labels := prometheus.Labels{}
	if len(label) == 2 {
		labels[label[0]] = label[1]
	}
	m.registry.MustRegister(&standing{prometheus.NewDesc(name, help, nil, labels), kind, value})
}

func (s *standing) Describe(to chan<- *prometheus.Desc) { to <- s.desc }

func (s *standing) Collect(to chan<- prometheus.Metric) {
	if value, there := s.value(); there {
		to <- prometheus.MustNewConstMetric(s.desc, s.kind, value)
	}
}
