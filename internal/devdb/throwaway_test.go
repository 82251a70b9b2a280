package devdb

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestThrowaway_ResumesWithAllThatWasCommitted(t *testing.T) {
	t.Parallel()
	server, err := StartThrowaway(t.Context(), ThrowawayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	url, home := server.URL(), server.cluster.home
	mustExec(t, url, "CREATE TABLE kept (n int)")
	want := 0
	for name, how := range map[string]syscall.Signal{"fast": Fast, "immediate": Immediate} {
		mustExec(t, url, "INSERT INTO kept VALUES (1)")
		want++
		if err := server.Halt(t.Context(), how); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if server.cluster.answers(t.Context()) == nil {
			t.Errorf("%s: the halted server answers", name)
		}
		if err := server.Resume(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := query[int](t, url, "SELECT count(*) FROM kept"); got != want {
			t.Errorf("%s: %d rows, want %d", name, got, want)
		}
	}
	for range 2 { // stopping twice is no error
		if err := server.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if exists(t, home) || exists(t, home+lockSuffix) {
		t.Error("the stopped server left files behind")
	}
}

func TestStartThrowaway_DurableIsPostgreSQLAsItComes(t *testing.T) {
	t.Parallel()
	server, err := StartThrowaway(t.Context(), ThrowawayOptions{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	const changed = `SELECT count(*) FROM pg_settings WHERE setting <> boot_val AND name IN
		('fsync', 'full_page_writes', 'synchronous_commit', 'wal_level', 'max_wal_size', 'checkpoint_timeout', 'autovacuum')`
	if got := query[int](t, server.URL(), changed); got != 0 {
		t.Errorf("%d settings differ from PostgreSQL's own", got)
	}
	if base := filepath.Dir(server.cluster.home); base == "/dev/shm" {
		t.Error("its data is in memory")
	}
}

func TestStartThrowaway_TellsItsServerFromAnotherOnItsPort(t *testing.T) {
	t.Parallel()
	server, err := StartThrowaway(t.Context(), ThrowawayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	unlucky := &cluster{home: t.TempDir(), port: server.cluster.port}
	if err := unlucky.answers(t.Context()); err == nil {
		t.Error("another cluster's server was taken for its own")
	}
}

func TestSweepThrowaways_RemovesTheDeadOnesOnly(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	alive, lock, err := makeThrowawayHome(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.release()
	dead, deadLock, err := makeThrowawayHome(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := deadLock.release(); err != nil { // as the end of its process would
		t.Fatal(err)
	}
	sweepThrowaways(t.Context(), base)
	if !exists(t, alive) {
		t.Error("a living process lost its folder")
	}
	if exists(t, dead) || exists(t, dead+lockSuffix) {
		t.Error("a dead process's folder is still there")
	}
}

func TestEndLeftover_EndsTheServerOfADeadProcessAndNoOther(t *testing.T) {
	t.Parallel()
	server, err := StartThrowaway(t.Context(), ThrowawayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	// A stale pid file whose number another server has by now.
	other := t.TempDir()
	pidFile, err := os.ReadFile(filepath.Join(server.cluster.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "postmaster.pid"), pidFile, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := endLeftover(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(other, "postmaster.pid")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the stale pid file is still there")
	}
	query[int](t, server.URL(), "SELECT 1")

	if err := endLeftover(t.Context(), server.cluster.data()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.cluster.server.done:
	case <-time.After(time.Minute):
		t.Error("the left-over server lives on")
	}
}
