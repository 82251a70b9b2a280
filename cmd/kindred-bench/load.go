package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is a number of workers, each of which does one operation after the other.
type load struct {
	name    string
	workers int
	server  *server // that the operations are requests to; nil where they are none
	begin   func(ctx context.Context, worker int) (worker, error)
	beside  *load // is kept up meanwhile
}

type worker struct {
	operate func() error
	end     func()
}

// sample is what one measurement of a load gave.
type sample struct {
	rate      float64         // operations a second
	latencies []time.Duration // of each of them, sorted
	cores     float64         // that this process, the client, used
	memory    float64         // that the server took at most, in megabytes; 0 where it was not measured
	beside    float64         // operations a second of the load beside it
}

// measure keeps the load up for d, after a fifth of d to warm up. Any failed operation is an error, but for
// what keepUp says of the load beside it.
func (l load) measure(ctx context.Context, d time.Duration) (s sample, err error) {
	watched := l.server != nil && l.server.memory != nil
	if watched {
		if err := l.server.memory.resetPeak(); err != nil {
			return sample{}, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	endBeside := func() (float64, error) { return 0, nil }
	if l.beside != nil {
		endBeside = l.beside.keepUp(ctx)
	}
	s, err = l.run(ctx, d)
	var besideErr, memoryErr error
	s.beside, besideErr = endBeside()
	if watched {
		s.memory, memoryErr = l.server.memory.peak()
	}
	if err := errors.Join(err, besideErr, memoryErr); err != nil {
		return sample{}, fmt.Errorf("%s: %w", l.name, err)
	}
	return s, nil
}

func (l load) run(ctx context.Context, d time.Duration) (sample, error) {
	began, usedBefore := time.Now(), cpuTime()
	rates := make([]float64, l.workers)
	latencies := make([][]time.Duration, l.workers)
	group, ctx := errgroup.WithContext(ctx)
	for i := range l.workers {
		group.Go(func() (err error) {
			w, err := l.begin(ctx, i)
			if err != nil {
				return err
			}
			defer w.end()
			if _, err := w.operateFor(d / 5); err != nil {
				return err
			}
			latencies[i], err = w.operateFor(d)
			rates[i] = rate(latencies[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return sample{}, err
	}
	s := sample{latencies: slices.Concat(latencies...)}
	slices.Sort(s.latencies)
	for _, r := range rates {
		s.rate += r
	}
	s.cores = (cpuTime() - usedBefore).Seconds() / time.Since(began).Seconds()
	return s, nil
}

// keepUp keeps the load up until the function is called that it returns, which waits for the operations
// under way and says how many a second succeeded. One that the server has no room for (503) is tried again
// after the Retry-After of the answer, as a client should.
func (l load) keepUp(ctx context.Context) (end func() (float64, error)) {
	began, done := time.Now(), make(chan struct{})
	var succeeded atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for i := range l.workers {
		group.Go(func() error {
			w, err := l.begin(ctx, i)
			if err != nil {
				return err
			}
			defer w.end()
			return w.operateUntil(done, &succeeded)
		})
	}
	return func() (float64, error) {
		close(done)
		if err := group.Wait(); err != nil {
			return 0, fmt.Errorf("%s: %w", l.name, err)
		}
		return float64(succeeded.Load()) / time.Since(began).Seconds(), nil
	}
}

func (w worker) operateUntil(done <-chan struct{}, succeeded *atomic.Int64) error {
	for {
		var wait time.Duration
		var refused *statusError
		switch err := w.operate(); {
		case err == nil:
			succeeded.Add(1)
		case errors.As(err, &refused) && refused.status == http.StatusServiceUnavailable && refused.retryAfter > 0:
			wait = refused.retryAfter
		default:
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(wait):
		}
	}
}

// operateFor returns how long each operation took. The last one is let finish, so that there is one.
func (w worker) operateFor(d time.Duration) ([]time.Duration, error) {
	var latencies []time.Duration
	begin := time.Now()
	for last := begin; last.Sub(begin) < d; {
		if err := w.operate(); err != nil {
			return nil, err
		}
		now := time.Now()
		latencies = append(latencies, now.Sub(last))
		last = now
	}
	return latencies, nil
}

// rate is by the worker's own time: one that waits for a last slow operation is not idle until then.
func rate(latencies []time.Duration) float64 {
	var total time.Duration
	for _, l := range latencies {
		total += l
	}
	return float64(len(latencies)) / total.Seconds()
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // its arguments are right
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
