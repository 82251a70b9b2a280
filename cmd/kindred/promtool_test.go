//go:build promtool

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kindred/internal/testdb"
)

// Prometheus' own tool reads the alerts as Prometheus would, and finds nothing odd about the figures.
func TestPromtool_AcceptsAlertsAndFigures(t *testing.T) {
	t.Parallel()
	rules := exec.CommandContext(t.Context(), "promtool", "check", "rules", "../../deploy/prometheus/alerts.yml")
	if said, err := rules.CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, said)
	}
	s, ops := startWatched(t, serveEnvironment(testdb.New(t).URL()))
	s.get(t, "/protected", "")
	figures := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	figures.Stdin = strings.NewReader(ops.metrics(t))
	if said, err := figures.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, said)
	}
}

// The dashboard's queries are those of the language too: as rules, with Grafana's own variables filled in.
func TestPromtool_AcceptsTheDashboard(t *testing.T) {
	t.Parallel()
	rules := bytes.NewBufferString("groups:\n- name: dashboard\n  rules:\n")
	for _, query := range dashboardQueries(t) {
		query = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".+").Replace(query)
		rules.WriteString("  - record: dashboard:query\n    expr: '" + query + "'\n")
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, rules.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, said)
	}
}
