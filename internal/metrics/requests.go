package metrics

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// answer is a route's template, never a path, and a status; 0 where nothing was written.
type answer struct {
	route  string
	status int
}

// answered are the series that an answer goes into.
type answered struct {
	count    prometheus.Counter
	duration prometheus.Observer
}

func (m *Metrics) makeRequests() {
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kindred_http_requests_total", Help: "Requests that were answered.",
	}, []string{"route", "status"})
	m.durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kindred_http_request_duration_seconds", Help: "How long requests took, bodies and all.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"route"})
	m.registry.MustRegister(m.requests, m.durations)
	m.answers.Store(&map[answer]answered{})
}

// Observed counts an answer. What it goes into is found without a lock, once it has been seen.
func (m *Metrics) Observed(_ context.Context, route string, status int, took time.Duration) {
	series, known := (*m.answers.Load())[answer{route, status}]
	if !known {
		series = m.add(answer{route, status})
	}
	series.count.Inc()
	series.duration.Observe(took.Seconds())
}

// add replaces the map by one with another entry: there are as many as routes and statuses.
func (m *Metrics) add(a answer) answered {
	m.adding.Lock()
	defer m.adding.Unlock()
	series := answered{m.requests.WithLabelValues(a.route, strconv.Itoa(a.status)), m.durations.WithLabelValues(a.route)}
	// A rate sees no first increment of a counter that was not there before.
	for _, trouble := range []string{"500", "503"} {
		m.requests.WithLabelValues(a.route, trouble)
	}
	answers := maps.Clone(*m.answers.Load())
	answers[a] = series
	m.answers.Store(&answers)
	return series
}
