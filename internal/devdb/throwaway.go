package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ThrowawayOptions say what the throw-away server has beyond its usual settings.
type ThrowawayOptions struct {
	// Settings are further lines of configuration, each name=value.
	Settings []string
	// Durable leaves PostgreSQL as it comes, fsync and all, with its data on a disk: to be measured.
	Durable bool
	// Install is told when PostgreSQL is installed because there is none. Where it is nil nothing is.
	Install func(string)
}

// Throwaway is a PostgreSQL on local binaries that forgets everything when it is stopped. Unless it is
// to be durable it trades that for speed. It asks nobody on this machine for a password: it is for
// tests and measurements.
type Throwaway struct {
	cluster *cluster
	lock    *folderLock
}

// Ways to halt a server, with PostgreSQL's own words for them.
const (
	Fast      = syscall.SIGINT  // ends sessions and writes a checkpoint
	Immediate = syscall.SIGQUIT // like a crash: the next start recovers what was committed
)

// ThrowawaySettings is the configuration for a server that many tests share, each line name=value.
// Without fsync a crash of the machine loses data and a crash of PostgreSQL does not. The answer to a
// COMMIT is kept honest (synchronous_commit stays on): tests count acknowledged writes.
func ThrowawaySettings() []string {
	return []string{
		"fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=1GB",
		"checkpoint_timeout=1h", "max_connections=300", "shared_buffers=64MB", "autovacuum=off", "jit=off",
	}
}

// StartThrowaway makes a cluster and starts it: in memory where there is room, a durable one on disk.
// It ends with the calling process. What dead processes left behind is removed on the way.
// ErrNoBinaries is in the error when this machine has no PostgreSQL of its own.
func StartThrowaway(ctx context.Context, options ThrowawayOptions) (*Throwaway, error) {
	bin, err := findBinaries(ctx, 0)
	if errors.Is(err, ErrNoBinaries) && options.Install != nil {
		if installErr := Install(ctx, options.Install); installErr != nil {
			return nil, errors.Join(err, installErr)
		}
		bin, err = findBinaries(ctx, 0)
	}
	if err != nil {
		return nil, err
	}
	cred, err := serverCredential()
	if err != nil {
		return nil, err
	}
	base, settings := throwawayBase(), ThrowawaySettings()
	if options.Durable {
		base, settings = durableBase, nil
	}
	sweepThrowaways(ctx, base)
	home, lock, err := makeThrowawayHome(base, cred)
	if err != nil {
		return nil, err
	}
	t := &Throwaway{lock: lock, cluster: &cluster{
		bin: bin, cred: cred, home: home, settings: append(settings, options.Settings...),
	}}
	if err := t.cluster.initialise(ctx, "--auth", "trust", "--no-sync"); err != nil {
		return nil, errors.Join(err, t.remove())
	}
	if err := t.cluster.start(ctx); err != nil {
		return nil, errors.Join(err, t.remove())
	}
	return t, nil
}

// URL is the address of the database postgres, as a superuser. It stays the same over Halt and Resume.
func (t *Throwaway) URL() string { return t.cluster.url("postgres") }

// Halt stops the server, Fast or Immediate, and keeps its data and its port.
func (t *Throwaway) Halt(ctx context.Context, how syscall.Signal) error {
	return t.cluster.end(ctx, how)
}

// Resume starts a halted server again, on the same port.
func (t *Throwaway) Resume(ctx context.Context) error { return t.cluster.start(ctx) }

// Stop ends the server and removes all that it was. Stopping twice is no error.
func (t *Throwaway) Stop(ctx context.Context) error {
	return errors.Join(t.cluster.end(ctx, Immediate), t.remove())
}

func (t *Throwaway) remove() error {
	return errors.Join(os.RemoveAll(t.cluster.home), t.lock.removeAndRelease())
}

const (
	throwawayPrefix = "kindred-throwaway-"
	lockSuffix      = ".lock"

	// durableBase outlives a boot by convention (FHS 3.0 §5.15), so that no system keeps it in memory.
	durableBase = "/var/tmp"
)

// throwawayBase is the memory disk where there is enough of it, else the folder for temporary files.
func throwawayBase() string {
	const memoryDisk, need = "/dev/shm", 2 << 30
	if free, err := freeSpace(memoryDisk); err == nil && free >= need {
		return memoryDisk
	}
	return os.TempDir()
}

// makeThrowawayHome makes the folder and locks it for as long as this process lives. The lock stands
// beside the folder, and before it, so that no sweep meets a folder that is not locked yet.
func makeThrowawayHome(base string, cred *syscall.Credential) (string, *folderLock, error) {
	for {
		file, err := os.CreateTemp(base, throwawayPrefix+"*"+lockSuffix)
		if err != nil {
			return "", nil, fmt.Errorf("make a temporary folder: %w", err)
		}
		file.Close()
		lock, err := lockFile(file.Name())
		if errors.Is(err, errLocked) || errors.Is(err, fs.ErrNotExist) {
			continue // a sweep was quicker and has removed it
		}
		if err != nil {
			return "", nil, err
		}
		home := strings.TrimSuffix(file.Name(), lockSuffix)
		if err := os.Mkdir(home, 0o700); err != nil {
			return "", nil, errors.Join(fmt.Errorf("make a temporary folder: %w", err), lock.removeAndRelease())
		}
		if err := chownFor(home, cred); err != nil {
			return "", nil, errors.Join(err, os.Remove(home), lock.removeAndRelease())
		}
		return home, lock, nil
	}
}

// sweepThrowaways removes the folders of processes that ended without Stop: their locks are free.
// What cannot be removed waits for the next sweep, it is no reason not to start.
func sweepThrowaways(ctx context.Context, base string) {
	locks, err := filepath.Glob(filepath.Join(base, throwawayPrefix+"*"+lockSuffix))
	if err != nil {
		return
	}
	for _, path := range locks {
		// Anybody may write in these folders: what another user put there is not ours to remove.
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || !ownedByUs(info) {
			continue
		}
		lock, err := lockFile(path)
		if err != nil {
			continue // in use, or another sweep was quicker
		}
		home := strings.TrimSuffix(path, lockSuffix)
		if endLeftover(ctx, filepath.Join(home, "data")) == nil && os.RemoveAll(home) == nil {
			_ = lock.removeAndRelease()
			continue
		}
		_ = lock.release()
	}
}
