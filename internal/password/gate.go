package password

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy: too many wait to hash already, or this one waited too long. Trying again later is right.
var ErrBusy = errors.New("too many passwords are being hashed")

// gate lets a few hash at once and a few more wait, first come, first served. Without it a flood of
// logins would take all memory; without the bound on those who wait it would only fail later, and those
// who came first would get their answer last.
type gate struct {
	slots    chan struct{} // as many as hash
	waiting  atomic.Int64
	admitted [2]atomic.Int64 // by line
	maxQueue int64
	maxWait  time.Duration
	refused  atomic.Int64

	garbage atomic.Int64 // KiB that hashes took and that were not collected yet
}

func newGate(slots int) *gate {
	const queueForEach, maxWait = 8, 800 * time.Millisecond
	return &gate{slots: make(chan struct{}, slots), maxQueue: int64(queueForEach * slots), maxWait: maxWait}
}

// admit lets in as many of each line as may hash or wait to.
func (g *gate) admit(line Line) (leave func(), err error) {
	admitted := &g.admitted[line]
	if admitted.Add(1) > g.maxQueue+int64(cap(g.slots)) {
		admitted.Add(-1)
		return nil, g.refuse()
	}
	return sync.OnceFunc(func() { admitted.Add(-1) }), nil
}

// enter waits for a slot, for which leave has to be called. The error is ErrBusy, or the context's: who
// hangs up waits no longer.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	// Nobody is overtaken: a slot that comes free goes to whoever waits the longest, so that this succeeds
	// only where nobody does.
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.maxQueue {
		return g.refuse()
	}
	patience := time.NewTimer(g.maxWait)
	defer patience.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return g.refuse()
	}
}

func (g *gate) refuse() error {
	g.refused.Add(1)
	return ErrBusy
}

// leave gives the slot back, but not before the memory of the hash is free: argon2 takes it anew each time, and
// the collector by itself would let as much again pile up as is in use. Cheap hashes are let pile up a little.
func (g *gate) leave(memoryKiB uint32) {
	const mostKiB = 7 << 10
	if g.garbage.Add(int64(memoryKiB)) >= mostKiB {
		g.garbage.Store(0)
		runtime.GC()
	}
	<-g.slots
}
