package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tx is one transaction. What locks hangs here and not on Store, so that locking outside a
// transaction does not compile. Locks are taken in one order: the user's row, the client's row, then
// families by id.
type Tx struct {
	tx      pgx.Tx
	store   *Store
	revoked []Revocation
}

// InTx runs fn in a transaction: an error rolls back, nil commits. A refusal that must be kept, such
// as the revocation of a reused family, is therefore a value and not an error.
//
// fn may run several times, after a deadlock, a lock time-out or when a partition was missing (it is
// then made), so it touches nothing outside but what it assigns afresh. When COMMIT's answer is lost the
// error is ErrUnavailable and the transaction may stand all the same.
func (s *Store) InTx(ctx context.Context, fn func(context.Context, *Tx) error) error {
	// A wait for a lock that took too long gives its connection back and begins anew, until the request's
	// own time is up: a queue behind one slow commit is no reason to send sixty clients away.
	const attempts = 10
	var err error
	for range attempts {
		err = s.withConn(ctx, func(conn *pgxpool.Conn) error { return s.runOnce(ctx, conn, fn) })
		switch {
		case errors.Is(err, errNoPartition):
			if err := s.EnsurePartitions(ctx); err != nil {
				return err
			}
		case !errors.Is(err, errRunAgain):
			return err
		}
		pause(ctx)
	}
	return err
}

// pause lets the other of a deadlock take what it was waiting for: who runs again at once may be faster
// than a process that has to be woken, and both are where they were.
func pause(ctx context.Context) {
	const least, spread = 20 * time.Millisecond, 30 * time.Millisecond
	select {
	case <-ctx.Done():
	case <-time.After(least + rand.N(spread)):
	}
}

func (s *Store) runOnce(ctx context.Context, conn *pgxpool.Conn, fn func(context.Context, *Tx) error) error {
	// Whatever the database's default is: with an older snapshot a later statement would not see what an
	// earlier one waited for, and the lock order would hold nothing.
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return err
	}
	if err := fn(ctx, &Tx{tx: tx, store: s}); err != nil {
		rollback(ctx, conn.Conn())
		return err
	}
	return tx.Commit(ctx)
}

// rollback outlives the request that was cancelled: locks must not wait for a time-out to go. But it
// does not keep a request beyond its deadline. A connection that cannot roll back in time is closed,
// which ends the transaction as well; that is no trouble, since nothing is in doubt.
func rollback(ctx context.Context, conn *pgx.Conn) {
	const least, most = 100 * time.Millisecond, time.Second
	limit := most
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(least, min(most, time.Until(deadline)))
	}
	// Not by the context: its end would send a cancel request first, and wait for that.
	wire := conn.PgConn()
	_ = wire.Conn().SetDeadline(time.Now().Add(limit))
	if _, err := wire.Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll(); err == nil {
		_ = wire.Conn().SetDeadline(time.Time{})
	}
}
