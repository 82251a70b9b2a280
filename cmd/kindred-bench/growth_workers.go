package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// times does a load's operation so many times in all.
func (l load) times(ctx context.Context, n int) error {
	var begun atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	l.start(ctx, group, func(w worker) error {
		for begun.Add(1) <= int64(n) {
			if err := w.operate(); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

// during keeps a load up while something else is done, and returns how long each operation took, sorted.
func (l load) during(ctx context.Context, do func() error) (latencies []time.Duration, err error) {
	var group errgroup.Group
	var adding sync.Mutex
	done := make(chan struct{})
	l.start(ctx, &group, func(w worker) error {
		own, err := w.untilClosed(done)
		adding.Lock()
		defer adding.Unlock()
		latencies = append(latencies, own...)
		return err
	})
	err = do()
	close(done)
	if err := errors.Join(err, group.Wait()); err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	slices.Sort(latencies)
	return latencies, nil
}

// start has each worker of a load do something.
func (l load) start(ctx context.Context, group *errgroup.Group, do func(worker) error) {
	for i := range l.workers {
		group.Go(func() error {
			w, err := l.begin(ctx, i)
			if err != nil {
				return err
			}
			defer w.end()
			return do(w)
		})
	}
}

func (w worker) untilClosed(done <-chan struct{}) (latencies []time.Duration, err error) {
	for {
		began := time.Now()
		if err := w.operate(); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(began))
		select {
		case <-done:
			return latencies, nil
		default:
		}
	}
}
