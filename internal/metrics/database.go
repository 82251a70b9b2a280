package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kindred/internal/store"
)

// databaseReading is what Run remembers.
type databaseReading struct {
	store.Figures
	at time.Time
}

// Run reads once a minute what the database says of itself, until ctx ends. What was read last stays, with
// the time of its reading beside it: a scrape neither hangs on a database that is away nor loads one.
func (m *Metrics) Run(ctx context.Context, read func(context.Context) (store.Figures, error)) {
	const interval, limit = time.Minute, 5 * time.Second
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, limit)
		// An error shows in the age of the last reading; what is wrong is in the log of those whom it concerns.
		if figures, err := read(attempt); err == nil {
			m.database.Store(&databaseReading{figures, time.Now()})
		}
		cancel()
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
}

func (m *Metrics) followDatabase() {
	remembered := func(name, help string, value func(databaseReading) (float64, bool), label ...string) {
		m.standing(name, help, prometheus.GaugeValue, func() (float64, bool) {
			if reading := m.database.Load(); reading != nil {
				return value(*reading)
			}
			return 0, false
		}, label...)
	}
	m.standing("kindred_database_read_timestamp_seconds", "When the database last said how it stands; it is asked once a minute. 0: never.",
		prometheus.GaugeValue, func() (float64, bool) {
			if reading := m.database.Load(); reading != nil {
				return float64(reading.at.UnixMilli()) / 1000, true
			}
			return 0, true
		})
	remembered("kindred_database_clock_offset_seconds", "How far this machine's clock is ahead of the database's.",
		func(r databaseReading) (float64, bool) { return r.ClockOffset.Seconds(), true })
	remembered("kindred_families_alive", "Families that are neither revoked nor purged, by the planner's estimate; none before the first ANALYZE.",
		func(r databaseReading) (float64, bool) {
			if r.Families == nil {
				return 0, false
			}
			return *r.Families, true
		})
	const ahead, help = "kindred_partitions_ahead_seconds", "How far partitions reach beyond what is needed today; eight weeks or a little more where all is well."
	remembered(ahead, help, func(r databaseReading) (float64, bool) { return r.TokensAhead.Seconds(), true }, "table", "refresh_tokens")
	remembered(ahead, help, func(r databaseReading) (float64, bool) { return r.EventsAhead.Seconds(), true }, "table", "audit_events")
}
