package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/audit"
	"kindred/internal/family"
)

// Lineage is what stands of a family, all of one snapshot.
type Lineage struct {
	Now      time.Time
	Family   *family.Family // nil where its row is gone
	Username string         // empty where the user was deleted
	Tokens   []family.RefreshToken
	Events   []audit.Event
}

// Lineage reads a family, its newest tokens, further ones to that of which a copy was found, and its newest
// events, both oldest first. It holds up nobody. Of a family that was purged there are events at most, of an
// id that never was a family's nothing.
func (s *Store) Lineage(ctx context.Context, id uuid.UUID, tokens int) (Lineage, error) {
	var l Lineage
	err := s.reading(ctx, func(tx pgx.Tx) (err error) {
		l = Lineage{}
		if err := l.readFamily(ctx, tx, id); err != nil {
			return err
		}
		if l.Events, err = eventsOfFamily(ctx, tx, id, l.Family); err != nil || l.Family == nil {
			return err
		}
		l.Tokens, err = chain(ctx, tx, *l.Family, tokens, copiedGeneration(*l.Family, l.Events))
		return err
	})
	if err != nil {
		return Lineage{}, fmt.Errorf("read lineage: %w", err)
	}
	return l, nil
}

// reading runs do on one snapshot.
func (s *Store) reading(ctx context.Context, do func(pgx.Tx) error) error {
	return s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, do)
	})
}

func (l *Lineage) readFamily(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	const statement = `
		SELECT ` + familyColumns + `, clock_timestamp(), coalesce(u.username, '')
		  FROM token_families f JOIN users u ON u.id = f.user_id WHERE f.id = $1`
	f, err := scanFamily(tx.QueryRow(ctx, statement, id), &l.Now, &l.Username)
	if errors.Is(err, ErrNotFound) {
		return tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&l.Now)
	}
	l.Family = &f
	return err
}

// eventsOfFamily reads a bounded number: a client that replays without end has a row a minute.
func eventsOfFamily(ctx context.Context, tx pgx.Tx, id uuid.UUID, f *family.Family) ([]audit.Event, error) {
	const most = 2000
	const statement = `
		SELECT ` + eventColumns + ` FROM audit_events
		 WHERE family_id = $1 AND at >= $2 ORDER BY at DESC, id DESC LIMIT $3`
	var since time.Time // the beginning of all partitions, where nothing is known
	if f != nil {
		since = f.CreatedAt
	}
	events, err := collectEvents(ctx, tx, statement, id, since, most)
	slices.Reverse(events)
	return events, err
}

// copiedGeneration is that of the token of which a copy was found last, or else the current one.
func copiedGeneration(f family.Family, events []audit.Event) int64 {
	for _, e := range slices.Backward(events) {
		if generation, there := e.Detail["presented_generation"].(float64); there {
			return int64(generation)
		}
	}
	return f.Generation
}

// chainStatement follows the parent links from the current token ($2) to the generation $4. The LIMIT keeps the planner from a join, which would read the whole family
// once for each of its generations: every step is one look into the primary key.
const chainStatement = `
	WITH RECURSIVE chain AS (
	    SELECT t.id, t.parent_id, t.generation, t.issued_at, t.expires_at, t.user_agent, t.address
	      FROM refresh_tokens t WHERE t.expires_on = $1 AND t.id = $2 AND t.family_id = $3
	    UNION ALL
	    SELECT p.id, p.parent_id, p.generation, p.issued_at, p.expires_at, p.user_agent, p.address
	      FROM chain c, LATERAL (SELECT * FROM refresh_tokens WHERE expires_on = $1 AND id = c.parent_id AND family_id = $3 LIMIT 1) p
	     WHERE c.generation > $4::bigint
	)
	SELECT id, parent_id, generation, issued_at, expires_at, coalesce(user_agent, ''), address
	  FROM chain ORDER BY generation`

// chain reads the newest tokens, and on to the one before a generation, if that is not too far. All of them
// lie in one partition.
func chain(ctx context.Context, tx pgx.Tx, f family.Family, newest int, copied int64) ([]family.RefreshToken, error) {
	const farthest = 100_000 // two thirds of a second
	oldest := min(f.Generation-int64(newest)+1, max(copied-1, f.Generation-farthest))
	rows, err := tx.Query(ctx, chainStatement, f.ExpiresOn, f.CurrentTokenID, f.ID, oldest)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (family.RefreshToken, error) {
		t := family.RefreshToken{FamilyID: f.ID, ExpiresOn: f.ExpiresOn}
		err := row.Scan(&t.ID, &t.ParentID, &t.Generation, &t.IssuedAt, &t.ExpiresAt, &t.UserAgent, &t.Address)
		return t, err
	})
}

// EventsOfRequest reads what one request recorded, the newest events and the oldest of them first. A request id
// may be the client's own, so that several requests share it.
func (s *Store) EventsOfRequest(ctx context.Context, requestID string, limit int) (events []audit.Event, err error) {
	const statement = `
		SELECT ` + eventColumns + ` FROM audit_events
		 WHERE request_id = $1 AND request_id <> '' ORDER BY at DESC, id DESC LIMIT $2`
	err = s.reading(ctx, func(tx pgx.Tx) (err error) {
		events, err = collectEvents(ctx, tx, statement, requestID, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read events of request: %w", err)
	}
	slices.Reverse(events)
	return events, nil
}

func collectEvents(ctx context.Context, tx pgx.Tx, statement string, args ...any) ([]audit.Event, error) {
	rows, err := tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEvent)
}
