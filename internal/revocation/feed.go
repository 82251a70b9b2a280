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
	// there is behind a pooler.
	pollInterval = 250 * time.Millisecond
	// crowdedInterval is how often the whole of a list that was too long is read again.
	crowdedInterval = 10 * time.Second
	// readLimit ends what hangs: a connection that was black-holed says nothing for ever. The whole list
	// may take longer, and so may the keys.
	readLimit, wholeLimit = time.Second, 5 * time.Second
)

var (
	errCrowded = fmt.Errorf("there are more than %d revocations", maxEntries)
	errServer  = errors.New("the list is read from another server, or another database, than the one that is written to")
)

// Config of a Feed.
type Config struct {
	Follow store.FollowConfig
	// Server names the server that this replica writes to: a list from another one, such as an old primary
	// after a failover, is worth nothing however fresh.
	Server func(context.Context) (string, error)
	// KeysChanged is told when a signing key may have changed, at each beginning too; an error makes the
	// feed begin anew. The reading counts only once it has returned.
	KeysChanged func(context.Context) error
	Log         *slog.Logger
}

// Feed keeps a Set current.
type Feed struct {
	config   Config
	follower *store.Follower
	set      *Set
	troubled bool
}

// NewFeed prepares a Feed; Run starts it. The error tells of a URL that cannot be parsed.
func NewFeed(config Config, set *Set) (*Feed, error) {
	follower, err := store.NewFollower(config.Follow)
	if err != nil {
		return nil, err
	}
	return &Feed{config: config, follower: follower, set: set}, nil
}

// Run follows the blacklist until ctx ends. That it cannot be relied on is logged once, and once that it can
// again.
func (f *Feed) Run(ctx context.Context) {
	// What goes wrong each time, such as a standby's address, must not cost a session four times a second.
	const longest = 2 * time.Second
	for pause := pollInterval; ctx.Err() == nil; pause = min(2*pause, longest) {
		began := time.Now()
		if err := f.follow(ctx); ctx.Err() == nil {
			f.tell(err)
		}
		if time.Since(began) > longest {
			pause = pollInterval
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// tell logs whether the list can be relied on, where that has changed. A connection that broke is no
// trouble as long as the next one reads in time.
func (f *Feed) tell(trouble error) {
	switch fresh := f.set.Fresh(); {
	case fresh && f.troubled:
		f.config.Log.Info("revocation feed is back")
		f.troubled = false
	case !fresh && !f.troubled && trouble != nil:
		f.config.Log.Warn("revocation feed is lost: access tokens are checked in the database", "error", trouble)
		f.troubled = true
	}
}

// position is how far the list has been read on one connection.
type position struct {
	next, server, keys string
	whole              time.Time // when all of it was last asked for
}

// follow reads on one connection until something goes wrong.
func (f *Feed) follow(ctx context.Context) error {
	connecting, cancel := context.WithTimeout(ctx, 2*readLimit)
	defer cancel()
	if err := f.follower.Connect(connecting); err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
		defer cancel()
		f.follower.Close(closing)
	}()
	var at position
	for {
		if err := f.read(ctx, &at); err != nil {
			return err
		}
		var trouble error
		if f.set.crowded() {
			trouble = errCrowded
		}
		f.tell(trouble)
		if err := f.follower.Wait(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// read takes one reading: the whole list at first, and again now and then while it is too long.
func (f *Feed) read(ctx context.Context, at *position) error {
	sent, limit := f.set.clock(), readLimit
	whole := at.next == "" || f.set.crowded() && sent.Sub(at.whole) >= crowdedInterval
	if whole {
		at.next, at.whole, limit = store.Beginning, sent, wholeLimit
	}
	reading, err := f.readWithin(ctx, limit, at.next)
	if err != nil {
		return err
	}
	if reading.Server != at.server || reading.Keys != at.keys {
		if err := f.look(ctx, at.server, reading); err != nil {
			return err
		}
	}
	f.set.take(reading, sent, whole)
	at.next, at.server, at.keys = reading.Next, reading.Server, reading.Keys
	return nil
}

func (f *Feed) readWithin(ctx context.Context, limit time.Duration, since string) (store.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f.follower.Read(ctx, since, maxEntries)
}

// look makes sure of the server, at the first reading of a connection, and has the keys loaded. A pooler may
// go on with another server in the middle of a connection: reading then begins anew.
func (f *Feed) look(ctx context.Context, before string, reading store.Reading) error {
	ctx, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	if before == "" {
		written, err := f.config.Server(ctx)
		if err != nil {
			return err
		}
		before = written
	}
	if reading.Server != before {
		return errServer
	}
	if err := f.config.KeysChanged(ctx); err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	return nil
}
