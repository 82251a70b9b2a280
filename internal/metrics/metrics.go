// Package metrics counts what one replica does and reads how it stands, for Prometheus. Its labels take
// their values from lists of ours (routes, statuses, verdicts, reasons, tables) and never from a request: a
// stranger can make no series.
//
// Nothing that a request does here waits or allocates, and a scrape asks nobody: what the database says of
// itself is read once a minute by Run, and remembered.
package metrics

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the figures of one replica. They are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	adding    sync.Mutex // of answers
	answers   atomic.Pointer[map[answer]answered]

	refreshes []prometheus.Counter // by auth.Outcome
	events    *prometheus.CounterVec
	revoked   *prometheus.CounterVec
	groups    prometheus.Histogram

	maintained     prometheus.Gauge
	failures       prometheus.Counter
	purgedFamilies prometheus.Counter
	purgedTables   prometheus.Counter
	inUse          prometheus.Gauge

	database atomic.Pointer[databaseReading]
}

// Build says what is running.
type Build struct{ Version, Go, Schema string }

// New makes figures that are all zero; Follow adds those that are read elsewhere.
func New(build Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	running := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kindred_build_info", Help: "1; its labels say what is running."},
		[]string{"version", "go", "schema"})
	running.WithLabelValues(build.Version, build.Go, build.Schema).Set(1)
	m.registry.MustRegister(running)
	m.makeRequests()
	m.makeUseCases()
	m.makeMaintenance()
	return m
}

// Gatherer is what a scrape reads.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help, label string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	m.registry.MustRegister(g)
	return g
}
