//go:build systemd

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd itself reads the units, and finds no more than what a server on the network cannot do without.
func TestSystemdAnalyze_UnitsAreValidAndConfined(t *testing.T) {
	t.Parallel()
	const exposure = "15" // of 100: tenths of what it prints
	for _, name := range []string{"kindred.service", "kindred-migrate.service"} {
		text, err := os.ReadFile(deployFolder + "systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/kindred", binary)), 0o644); err != nil {
			t.Fatal(err)
		}
		// verify tells of unknown names and values by words alone.
		if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+exposure, file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		t.Logf("%s: %s", name, lastLine(string(out)))
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
