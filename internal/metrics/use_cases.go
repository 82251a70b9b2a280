package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/family"
)

func (m *Metrics) makeUseCases() {
	refreshes := m.counters("kindred_refreshes_total", "Refreshes that were judged.", "verdict")
	for _, outcome := range auth.Outcomes() {
		m.refreshes = append(m.refreshes, refreshes.WithLabelValues(outcome.String()))
	}
	m.events = m.counters("kindred_audit_events_total", "Events of the audit trail that this replica recorded.", "kind")
	for _, kind := range audit.Kinds() {
		m.events.WithLabelValues(string(kind))
	}
	m.revoked = m.counters("kindred_families_revoked_total", "Families that this replica revoked.", "reason")
	for _, reason := range family.Reasons() {
		m.revoked.WithLabelValues(string(reason))
	}
	m.groups = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "kindred_rotation_group_size", Help: "Rotations that shared a statement.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
	})
	m.registry.MustRegister(m.groups)
}

// Refreshed counts what became of a refresh.
func (m *Metrics) Refreshed(o auth.Outcome) { m.refreshes[o].Inc() }

// Recorded counts an event of the audit trail.
func (m *Metrics) Recorded(kind audit.Kind, reason string) {
	m.events.WithLabelValues(string(kind)).Inc()
	if kind == audit.FamilyRevoked {
		m.revoked.WithLabelValues(reason).Inc()
	}
}

// Rotating counts a statement by how many rotations share it.
func (m *Metrics) Rotating(together int) { m.groups.Observe(float64(together)) }
