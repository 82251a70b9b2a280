package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kindred/internal/store"
)

const (
	// pollInterval is how often the list is read although nothing was heard: the heartbeat, and all
	// there is behind a pooler that swallows notifications.
	pollInterval = 250 * time.Millisecond
	// crowdedInterval is how often a list that was too long is looked at again.
	crowdedInterval = 10 * time.Second
	// readLimit ends what hangs: a connection that was black-holed says nothing for ever.
	readLimit = time.Second
)

// Config of a Feed.
type Config struct {
	URL string // of the primary, best past any pooler
	// KeysChanged is told when a signing key may have changed, at each beginning too; an error makes the
	// feed begin anew. The reading counts only once it has returned.
	KeysChanged func(context.Context) error
	Log         *slog.Logger
}

// Feed keeps a Set current.
type Feed struct {
	config Config
	set    *Set
}

// NewFeed makes a Feed; Run starts it.
func NewFeed(config Config, set *Set) *Feed { return &Feed{config, set} }

// Run follows the blacklist until ctx ends. Trouble is logged once when it begins and once when it is over.
func (f *Feed) Run(ctx context.Context) {
	troubled := false
	for ctx.Err() == nil {
		err := f.follow(ctx, func() {
			if troubled {
				f.config.Log.Info("revocation feed is back")
			}
			troubled = false
		})
		if ctx.Err() != nil {
			return
		}
		if !troubled {
			f.config.Log.Warn("revocation feed is lost: access tokens are checked in the database", "error", err)
		}
		troubled = true
		_ = pause(ctx, pollInterval) // the loop sees that ctx has ended
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// follow reads on one connection until something goes wrong. Each connection begins with the whole
// list: it may lead to another server than the one before, which has not seen the same transactions.
func (f *Feed) follow(ctx context.Context, heard func()) error {
	connecting, cancel := context.WithTimeout(ctx, 2*readLimit)
	defer cancel()
	follower, err := store.Follow(connecting, f.config.URL)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
		defer cancel()
		follower.Close(closing)
	}()
	var next uint64
	var keys string
	for {
		whole := next == 0
		sent := f.set.clock()
		reading, err := read(ctx, follower, next)
		if err != nil {
			return err
		}
		if reading.Next < next {
			return errors.New("the database went back in time: another server answers")
		}
		if whole || reading.Keys != keys {
			if err := f.config.KeysChanged(ctx); err != nil {
				return fmt.Errorf("load signing keys: %w", err)
			}
		}
		f.set.take(reading, sent, whole)
		heard()
		next, keys = reading.Next, reading.Keys
		if f.set.crowded() {
			next = 0 // what was left out is looked for again
			err = pause(ctx, crowdedInterval)
		} else {
			err = follower.Wait(ctx, pollInterval)
		}
		if err != nil {
			return err
		}
	}
}

func read(ctx context.Context, follower *store.Follower, since uint64) (store.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	return follower.Read(ctx, since, maxEntries)
}
