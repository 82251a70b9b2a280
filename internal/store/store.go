// Package store holds all of Kindred's SQL, one file a table, and turns the driver's errors into
// ours. It decides nothing: rules live in package family, use cases in package auth. The database is
// the authority on state and on time: statements read clock_timestamp(), never now(), which is as
// old as the transaction's wait for its locks.
package store

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says which database, and how long anything may take.
type Config struct {
	URL            string
	MaxConns       int32         // connections at most; the default is 16
	RequestTimeout time.Duration // deadline of a request: every statement must end before it
	MaxLifetime    time.Duration // of a family: how far ahead partitions must reach
	Pooled         bool          // URL leads through a pooler in transaction mode
	RotationGroup  int           // rotations that share a statement at most; the default is 32, 1 is none
	Tracer         pgx.QueryTracer
	AtHome         bool               // no connection to a database that waits for restore-guard: see InstallationError
	Rotating       func(together int) // told of each statement how many rotations share it; must not block
}

// Store reaches one PostgreSQL. It is safe for concurrent use.
type Store struct {
	pool        *pgxpool.Pool
	groups      *rotationGroups
	rotating    func(together int)
	health      health
	pingTimeout time.Duration
	maxLifetime time.Duration
	settings    map[string]string // of its sessions
	atHome      bool
}

// ParseURL tells whether Open could use an address. The error may quote it.
func ParseURL(url string) error {
	_, err := pgxpool.ParseConfig(url)
	return err
}

// Open prepares a pool. It does not wait for the database: a replica may start before PostgreSQL and
// serve once that is there. The error tells of a URL that cannot be parsed and may quote it: see ParseURL.
func Open(config Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(config.URL)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	pc.MaxConns = 16
	if config.MaxConns > 0 {
		pc.MaxConns = config.MaxConns
	}
	pc.MaxConnLifetimeJitter = pc.MaxConnLifetime / 10
	settings := sessionSettings(config.RequestTimeout)
	st := &Store{pingTimeout: config.RequestTimeout / 4, maxLifetime: config.MaxLifetime, settings: settings, atHome: config.AtHome}
	st.groups, st.rotating = newRotationGroups(st, config), config.Rotating
	if st.rotating == nil {
		st.rotating = func(int) {}
	}
	pc.ShouldPing = st.foundDead
	pc.ConnConfig.Tracer = watchedBy(st, config.Tracer)
	pc.ConnConfig.ConnectTimeout = config.RequestTimeout / 2
	pc.ConnConfig.OnNotice = noteUnreplicated
	leaveQuickly(pc)
	pc.ConnConfig.RuntimeParams["application_name"] = "kindred"
	pc.ConnConfig.RuntimeParams["timezone"] = "UTC"
	if config.Pooled {
		// A pooler refuses other parameters, and the next statement may run in another session than the one
		// that prepared it. The settings come from ALTER ROLE … IN DATABASE … SET; LooseSettings looks.
		pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	} else {
		for name, value := range settings {
			if _, set := pc.ConnConfig.RuntimeParams[name]; !set {
				pc.ConnConfig.RuntimeParams[name] = value
			}
		}
	}
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if config.AtHome {
			if err := refuseElsewhere(ctx, conn); err != nil {
				return err
			}
		}
		types := conn.TypeMap()
		types.TryWrapEncodePlanFuncs = append([]pgtype.TryWrapEncodePlanFunc{planID}, types.TryWrapEncodePlanFuncs...)
		return conn.PgConn().Conn().SetDeadline(time.Time{}) // leaveQuickly has set one
	}
	// When a request ends, ask the server to cancel and wait a moment for its word: it then says
	// whether the statement stood, so that nothing commits after a 503 but an unanswered COMMIT.
	pc.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 300 * time.Millisecond}
	}
	if st.pool, err = pgxpool.NewWithConfig(context.Background(), pc); err != nil {
		return nil, fmt.Errorf("prepare connection pool: %w", err)
	}
	return st, nil
}

// leaveQuickly sees to it that a connection on which nobody answers gives its place in the pool back
// soon. pgx takes leave of it for 15 s: first it asks on a connection of its own to cancel, then it
// waits for the server to hang up. Every connection is dialled with a deadline, which those that are
// kept lose in AfterConnect.
func leaveQuickly(pc *pgxpool.Config) {
	dial, limit := pc.ConnConfig.DialFunc, pc.ConnConfig.ConnectTimeout
	pc.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(limit))
		}
		return conn, err
	}
	pc.BeforeClose = func(conn *pgx.Conn) {
		if conn.IsClosed() {
			_ = conn.PgConn().Conn().Close()
		}
	}
}

// sessionSettings bound what a statement may do to others. force_generic_plan: array parameters make
// PostgreSQL plan anew on each execution, which costs more than the rotation itself.
func sessionSettings(request time.Duration) map[string]string {
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
	return map[string]string{
		"default_transaction_isolation":       "read committed",
		"plan_cache_mode":                     "force_generic_plan",
		"lock_timeout":                        milliseconds(min(500*time.Millisecond, request/2)),
		"statement_timeout":                   milliseconds(request * 9 / 10),
		"idle_in_transaction_session_timeout": milliseconds(request * 2),
		"client_connection_check_interval":    "250",
	}
}

// Close ends all connections once they are given back.
func (s *Store) Close() {
	s.groups.working.Wait()
	s.pool.Close()
}

// withConn runs do on one connection.
func (s *Store) withConn(ctx context.Context, do func(*pgxpool.Conn) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w: %w", ErrUnavailable, err)
	}
	defer conn.Release()
	err = do(conn)
	if unconfirmed := s.checkReplicated(conn.Conn()); unconfirmed != nil {
		return unconfirmed
	}
	return translate(err)
}
