package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// rotationGroups lets rotations share a statement: while some are under way, those that arrive form the
// next group. Nobody waits while fewer statements than that are under way, so that a lone rotation pays
// nothing. A commit is what a rotation costs most, and a group has one.
type rotationGroups struct {
	store    *Store
	size     int           // rotations of one statement at most; 1: no groups
	atOnce   int           // statements under way
	patience time.Duration // whoever has less time left runs alone, so that it hurries nobody else

	// together runs a group's statement.
	together func(context.Context, []Rotation) (map[uuid.UUID]Grant, error)

	mu       sync.Mutex
	underWay int
	waiting  []*waitingRotation // in the order in which they came
	working  sync.WaitGroup
}

// waitingRotation is one that has not begun.
type waitingRotation struct {
	rotation Rotation
	deadline time.Time
	told     chan told // has room for one: nobody waits for a client that has hung up
}

// told is what becomes of a waiting rotation: what its group's statement did, or that it runs alone. It
// then passes the turn on if it was given one.
type told struct {
	grant   Grant
	ok      bool
	alone   bool
	hasTurn bool
}

func newRotationGroups(s *Store, config Config) *rotationGroups {
	const size, atOnce = 32, 2
	g := &rotationGroups{store: s, size: size, atOnce: atOnce, patience: config.RequestTimeout / 2, together: s.rotateTogether}
	if config.RotationGroup > 0 {
		g.size = config.RotationGroup
	}
	return g
}

// rotate runs a rotation, alone or in a group. A client that hangs up leaves the group while that is
// waiting, and takes nobody with it once the statement is under way.
func (g *rotationGroups) rotate(ctx context.Context, r Rotation) (Grant, bool, error) {
	deadline, limited := ctx.Deadline()
	if g.size <= 1 || !limited || time.Until(deadline) < g.patience {
		return g.store.rotateAlone(ctx, r)
	}
	w := g.enter(r, deadline)
	if w == nil {
		defer g.pass()
		return g.store.rotateAlone(ctx, r)
	}
	select {
	case t := <-w.told:
		return g.obey(ctx, r, t)
	case <-ctx.Done():
	}
	if !g.leave(w) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// The statement has the same deadline or an earlier one, and the server has a moment to say whether it
		// stands: nothing is rotated after a client was told that nothing was.
		return g.obey(ctx, r, <-w.told)
	}
	return Grant{}, false, fmt.Errorf("wait for a group: %w: %w", ErrUnavailable, ctx.Err())
}

func (g *rotationGroups) obey(ctx context.Context, r Rotation, t told) (Grant, bool, error) {
	if t.hasTurn {
		defer g.pass()
	}
	if t.alone {
		return g.store.rotateAlone(ctx, r)
	}
	return t.grant, t.ok, nil
}

// enter takes a turn, or waits for one where all are taken.
func (g *rotationGroups) enter(r Rotation, deadline time.Time) *waitingRotation {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.underWay < g.atOnce {
		g.underWay++
		return nil
	}
	w := &waitingRotation{rotation: r, deadline: deadline, told: make(chan told, 1)}
	g.waiting = append(g.waiting, w)
	return w
}

// leave takes a rotation out of those that wait. It is false where it has begun; a turn that it was given
// and does not take is passed on.
func (g *rotationGroups) leave(w *waitingRotation) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.waiting {
		if other == w {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return true
		}
	}
	select {
	case t := <-w.told:
		if t.hasTurn {
			g.passLocked()
			return true
		}
		w.told <- t
	default:
	}
	return false
}

// pass gives the turn of a statement that has ended to those that wait.
func (g *rotationGroups) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passLocked()
}

func (g *rotationGroups) passLocked() {
	switch n := min(len(g.waiting), g.size); n {
	case 0:
		g.underWay--
	case 1:
		g.waiting[0].told <- told{alone: true, hasTurn: true}
		g.waiting = nil
	default:
		group := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		g.working.Go(func() { g.run(group) })
	}
}

// run is the statement of a group. Whatever goes wrong with it may be the fault of one: each then runs
// alone and is answered for itself.
func (g *rotationGroups) run(group []*waitingRotation) {
	defer g.pass()
	list, deadline := make([]Rotation, len(group)), group[0].deadline
	for i, w := range group {
		list[i] = w.rotation
		if w.deadline.Before(deadline) {
			deadline = w.deadline
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	grants, err := g.together(ctx, list)
	for _, w := range group {
		grant, ok := grants[w.rotation.ChildID]
		w.told <- told{grant: grant, ok: ok && err == nil, alone: err != nil}
	}
}
