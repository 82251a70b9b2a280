package devdb

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Only Linux ends a child with its parent; elsewhere TestEndLeftover_… shows what the next start does.
func TestStart_NothingSurvivesAKilledProcess(t *testing.T) {
	t.Parallel()
	dir := project(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, readErr := bufio.NewReader(stdout).ReadString('\n')
	if readErr == nil {
		mustExec(t, strings.TrimSpace(url), "CREATE TABLE kept ()")
	}
	home, _, homeErr := folder{path: resolved(t, dir)}.home()
	before := workersIn(t, home)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says that the process was killed
	if readErr != nil || homeErr != nil || len(before) < 2 {
		t.Fatalf("the helper did not start a server: %v, %v, processes %v", readErr, homeErr, before)
	}

	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for left := before; len(left) > 0; left = workersIn(t, home) {
		select {
		case <-deadline.C:
			t.Fatalf("still alive: %v", left)
		case <-time.After(10 * time.Millisecond):
		}
	}
	server := mustStart(t, Options{Dir: dir})
	if !query[bool](t, server.URL(), "SELECT to_regclass('kept') IS NOT NULL") {
		t.Error("what was committed before the kill is lost")
	}
}

// workersIn lists the processes that work in the cluster: PostgreSQL's have their data folder as
// their current one, and change the title in which one would look for it.
func workersIn(t *testing.T, home string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, home) {
			found = append(found, filepath.Dir(link))
		}
	}
	return found
}
