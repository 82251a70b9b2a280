package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errUnreplicated: the transaction stands on the primary, and no synchronous standby has confirmed it.
var errUnreplicated = errors.New("committed, but not confirmed by a synchronous standby")

const unreplicated = "kindred: unreplicated" // in a connection's own data

// noteUnreplicated hears what the server says when a request's time is up while its COMMIT waits for a standby:
// it then gives the wait up and answers as if all were well, with a warning. A failover may lose what we would have
// acknowledged. The warning is known by the routine that it comes from, since its words are translated.
func noteUnreplicated(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		conn.CustomData()[unreplicated] = true
	}
}

// checkReplicated is asked after each exchange. The error is as that of a COMMIT whose answer was lost, for the reuse
// interval too: what was asked for may stand, and its client comes again.
func (s *Store) checkReplicated(conn *pgx.Conn) error {
	data := conn.PgConn().CustomData()
	if data[unreplicated] == nil {
		return nil
	}
	delete(data, unreplicated)
	s.health.observe(errUnreplicated, true)
	return fmt.Errorf("%w: %w", ErrUnavailable, errUnreplicated)
}
