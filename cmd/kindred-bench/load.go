package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is a number of workers, each of which does one operation after the other.
type load struct {
	name    string
	workers int
	overTCP bool // the operations are requests, of which latency and the client's share are of interest
	begin   func(ctx context.Context, worker int) (worker, error)
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
}

// measure keeps the load up for d, after a fifth of d to warm up. Any failed operation is an error.
func (l load) measure(ctx context.Context, d time.Duration) (sample, error) {
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
		return sample{}, fmt.Errorf("%s: %w", l.name, err)
	}
	s := sample{latencies: slices.Concat(latencies...)}
	slices.Sort(s.latencies)
	for _, r := range rates {
		s.rate += r
	}
	s.cores = (cpuTime() - usedBefore).Seconds() / time.Since(began).Seconds()
	return s, nil
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
