package main

import (
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// boundMemory sets what Go's collector goes by, where the operator has not (GOGC, GOMEMLIMIT).
//
// What lives is small, some 10 MiB, so that with Go's own setting the collector runs dozens of times a second
// and takes a seventh of a server's time; it may let three times as much pile up. The limit is what the
// container or the machine has, less a tenth for what the collector does not see.
func boundMemory(log *slog.Logger) {
	const percent, share = 300, 0.9
	given := os.Getenv("GOGC")
	if given == "" {
		debug.SetGCPercent(percent)
		given = strconv.Itoa(percent)
	}
	limit, err := memlimit.Set(memlimit.WithRatio(share), memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)))
	if err != nil {
		log.Warn("no limit of memory could be found; GOMEMLIMIT sets one", "error", err)
		return
	}
	log.Debug("memory", "limit_mib", limit>>20, "gogc", given)
}
