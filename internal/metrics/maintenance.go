package metrics

import "kindred/internal/auth"

func (m *Metrics) makeMaintenance() {
	m.maintained = m.gauge("kindred_maintenance_success_timestamp_seconds", "When partitions were last made and the purge last ran, without an error; 0: never.")
	m.failures = m.counter("kindred_maintenance_failures_total", "Runs of maintenance that failed.")
	m.purgedFamilies = m.counter("kindred_purged_families_total", "Families that this replica deleted after their expiry.")
	m.purgedTables = m.counter("kindred_purged_partitions_total", "Partitions that this replica dropped.")
	m.inUse = m.gauge("kindred_purge_partitions_in_use", "Tables whose oldest partition could not be dropped at the last purge, since somebody used it.")
}

// Maintained is told of the end of a run of maintenance.
func (m *Metrics) Maintained(purged auth.Purged, err error) {
	m.purgedFamilies.Add(float64(purged.Families))
	m.purgedTables.Add(float64(len(purged.Partitions)))
	m.inUse.Set(float64(purged.InUse))
	if err != nil {
		m.failures.Inc()
		return
	}
	m.maintained.SetToCurrentTime()
}
