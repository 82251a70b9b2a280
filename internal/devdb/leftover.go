package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endLeftover ends the server that a dead process left running on the data folder, and removes the
// pid file of one that is gone: PostgreSQL would mistake any program that has that number today for
// a server. Whoever calls holds the folder's lock, so a server on it can be nobody else's.
func endLeftover(ctx context.Context, data string) error {
	pidFile := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a left-over server: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err == nil && pid > 1 && servesFolder(pid, data) {
		if err := endServer(ctx, pid, data); err != nil {
			return err
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a stale pid file: %w", err)
	}
	return nil
}

// servesFolder tells our left-over from another program that has its number by now.
func servesFolder(pid int, data string) bool {
	args := commandLine(pid)
	if len(args) == 0 || !strings.HasPrefix(filepath.Base(args[0]), "postgres") {
		return false
	}
	// ps shows a path with a space in pieces.
	return slices.Contains(args, data) || strings.Contains(strings.Join(args, " "), "-D "+data+" ")
}

func endServer(ctx context.Context, pid int, data string) error {
	const limit, pause = 15 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// Its sessions belong to a dead process: there is nobody to wait for.
	if err := syscall.Kill(pid, Immediate); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end a left-over server: %w", err)
	}
	for servesFolder(pid, data) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("end a left-over server, process %d: %w", pid, ctx.Err())
		case <-time.After(pause):
		}
	}
	return nil
}
