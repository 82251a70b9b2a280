package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// memory is what a process has of it, as Linux tells in /proc (proc_pid_status(5), proc_pid_clear_refs(5)).
type memory struct{ folder string }

// memoryOf fails where there is no such /proc: then memory is not measured.
func memoryOf(process int) (memory, error) {
	m := memory{fmt.Sprintf("/proc/%d", process)}
	return m, m.resetPeak()
}

// resetPeak has the peak begin anew at what is in use now.
func (m memory) resetPeak() error {
	return os.WriteFile(filepath.Join(m.folder, "clear_refs"), []byte("5"), 0)
}

func (m memory) resident() (float64, error) { return m.megabytes("VmRSS") }

func (m memory) peak() (float64, error) { return m.megabytes("VmHWM") }

// megabytes are a million bytes each.
func (m memory) megabytes(field string) (float64, error) {
	status, err := os.ReadFile(filepath.Join(m.folder, "status"))
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB$`).FindSubmatch(status)
	if match == nil {
		return 0, fmt.Errorf("%s/status has no %s", m.folder, field)
	}
	kibibytes, err := strconv.Atoi(string(match[1]))
	return float64(kibibytes) * 1024 / 1e6, err
}
