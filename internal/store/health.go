package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// health remembers when this replica last came out of trouble with the database. While a COMMIT's
// answer can have been lost, a client that presents its token again is no thief; the reuse interval
// therefore starts at the recovery at the earliest.
type health struct {
	mu        sync.Mutex
	troubled  bool
	recovered time.Time // with its monotonic reading
}

// observe takes the end of one exchange with the database and tells whether trouble begins with it.
// closed says that the connection did not survive.
func (h *health) observe(err error, closed bool) (trouble bool) {
	answered, lost := heard(err, closed)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.troubled && answered {
		h.recovered = time.Now()
	}
	trouble = lost && !h.troubled
	h.troubled = lost || h.troubled && !answered
	return trouble
}

// steadySince translates the recovery into the database's time; zero where there never was trouble.
// The replica's clock may differ from the database's, but not how much of it has passed.
func (h *health) steadySince(databaseNow time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.troubled:
		return databaseNow
	case h.recovered.IsZero():
		return time.Time{}
	default:
		return databaseNow.Add(-time.Since(h.recovered))
	}
}

// heard tells whether the database was heard, be it with a refusal, and whether its word was lost: it
// is going away, or the connection ended with something sent and no answer, whoever gave up waiting.
// A client that hangs up loses no word as long as the server confirms the cancellation; a lock or a
// statement that timed out was answered.
func heard(err error, closed bool) (answered, lost bool) {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		lost = shuttingDown(pgErr.Code)
		return !lost, lost
	}
	// Safe to retry means that nothing was sent. But pgx says it also of BEGIN and COMMIT when the
	// connection broke while it read their answer.
	unsent := pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
	return err == nil, err != nil && closed && !unsent
}

// shuttingDown: admin_shutdown, crash_shutdown, cannot_connect_now, connection exceptions.
func shuttingDown(sqlState string) bool {
	return sqlState == "57P01" || sqlState == "57P02" || sqlState == "57P03" || sqlState[:2] == "08"
}

// observe keeps the record of the database's health. The connections that lie idle are as old as the
// one with which trouble began, and likely as dead: each would cost a request its deadline.
func (s *Store) observe(err error, conn *pgx.Conn) {
	if s.health.observe(err, conn.IsClosed()) {
		s.pool.Reset()
	}
}

// foundDead tells whether a connection that was idle for a while is dead. pgx's own ping tells nobody
// what it finds; it follows where this one failed, and takes the connection out of the pool.
func (s *Store) foundDead(ctx context.Context, p pgxpool.ShouldPingParams) bool {
	if p.IdleDuration <= time.Second {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, s.pingTimeout)
	defer cancel()
	err := p.Conn.Ping(ctx)
	s.observe(err, p.Conn)
	return err != nil
}

// watcher sees every exchange end, also those of which no request hears any more because its client
// has hung up: a connection goes on being made without it.
type watcher struct{ *Store }

func watchedBy(s *Store, also pgx.QueryTracer) pgx.QueryTracer {
	if also == nil {
		return watcher{s}
	}
	return multitracer.New(watcher{s}, also)
}

func (watcher) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (w watcher) TraceQueryEnd(_ context.Context, conn *pgx.Conn, end pgx.TraceQueryEndData) {
	w.observe(end.Err, conn)
}

func (watcher) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

func (w watcher) TraceConnectEnd(_ context.Context, end pgx.TraceConnectEndData) {
	w.health.observe(end.Err, true)
}
