package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// health remembers when this replica last came out of trouble with the database. While a COMMIT's
// answer can have been lost, a client that presents its token again is no thief; the reuse interval
// therefore starts at the recovery at the earliest.
type health struct {
	mu        sync.Mutex
	troubled  bool
	recovered time.Time // with its monotonic reading
}

func (h *health) observe(err error) {
	lost := answerLost(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	if lost {
		h.troubled = true
		return
	}
	if h.troubled && answered(err) {
		h.troubled = false
		h.recovered = time.Now()
	}
}

// steadySince translates the recovery into the database's time; zero where there never was trouble.
// The replica's clock may differ from the database's, but not how much of it has passed.
func (h *health) steadySince(databaseNow time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.recovered.IsZero() {
		return time.Time{}
	}
	return databaseNow.Add(-time.Since(h.recovered))
}

// answerLost tells whether the error leaves open what the database did, or says that it is going
// away. A client that hangs up, a lock or a statement that timed out is none: the server answered.
func answerLost(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return shuttingDown(pgErr.Code)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	// Safe to retry means that nothing was sent. But pgx says it also of BEGIN and COMMIT when the
	// connection broke while it read their answer.
	unsent := pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
	return brokenConnection(err) && !unsent
}

// answered tells whether the database was heard, be it with a refusal.
func answered(err error) bool {
	var pgErr *pgconn.PgError
	return err == nil || errors.As(err, &pgErr)
}

// shuttingDown: admin_shutdown, crash_shutdown, cannot_connect_now, connection exceptions.
func shuttingDown(sqlState string) bool {
	return sqlState == "57P01" || sqlState == "57P02" || sqlState == "57P03" || sqlState[:2] == "08"
}
