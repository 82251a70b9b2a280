package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/audit"
)

// Append records an event in the transaction that makes it true, and fills in its id, the database's time
// and, where it names a family and no client, the family's client.
func (tx *Tx) Append(ctx context.Context, e *audit.Event) error {
	const statement = `
		INSERT INTO audit_events (id, at, kind, actor, user_id, family_id, client_id, request_id, address, user_agent, reason, detail)
		VALUES ($1, clock_timestamp(), $2, $3, $4, $5,
		        coalesce(nullif($6, ''), (SELECT f.client_id FROM token_families f WHERE f.id = $5), ''), $7, $8, $9, $10, $11)
		RETURNING at, client_id`
	return tx.append(ctx, statement, e)
}

// AppendFirst does so if the family, which the event names, has no other of that kind within the last
// minute; first tells whether it did. The caller holds the family.
func (tx *Tx) AppendFirst(ctx context.Context, e *audit.Event) (first bool, err error) {
	const statement = `
		INSERT INTO audit_events (id, at, kind, actor, user_id, family_id, client_id, request_id, address, user_agent, reason, detail)
		SELECT $1, t.now, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM (SELECT clock_timestamp() AS now) AS t
		 WHERE NOT EXISTS (SELECT FROM audit_events e WHERE e.family_id = $5 AND e.kind = $2 AND e.at > t.now - interval '1 minute')
		RETURNING at, client_id`
	err = tx.append(ctx, statement, e)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// AppendForEach records one event for each of many families, alike but for the family and its client, in one
// statement: who ends the sessions of a user who has thousands holds them all, and must not hold them long.
func (tx *Tx) AppendForEach(ctx context.Context, families []uuid.UUID, e audit.Event) ([]audit.Event, error) {
	const statement = `
		INSERT INTO audit_events (id, at, kind, actor, user_id, family_id, client_id, request_id, address, user_agent, reason)
		SELECT n.id, clock_timestamp(), $3, $4, $5, f.id, f.client_id, $6, $7, $8, $9
		  FROM unnest($1::uuid[], $2::uuid[]) AS n (id, family_id) JOIN token_families f ON f.id = n.family_id
		RETURNING id, at, family_id, client_id, detail`
	ids := make([]uuid.UUID, len(families))
	for i := range ids {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make event id: %w", err)
		}
		ids[i] = id
	}
	rows, err := tx.tx.Query(ctx, statement, ids, families, e.Kind, e.Actor, e.UserID, e.RequestID, e.Address, e.UserAgent, e.Reason)
	if err != nil {
		return nil, fmt.Errorf("append audit events: %w", translate(err))
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (audit.Event, error) {
		one := e
		err := row.Scan(&one.ID, &one.At, &one.FamilyID, &one.ClientID, &one.Detail)
		return one, err
	})
	if err != nil {
		return nil, fmt.Errorf("append audit events: %w", translate(err))
	}
	return list, nil
}

func (tx *Tx) append(ctx context.Context, statement string, e *audit.Event) (err error) {
	if e.ID, err = uuid.NewV7(); err != nil {
		return fmt.Errorf("make event id: %w", err)
	}
	if e.Detail == nil {
		e.Detail = map[string]any{}
	}
	err = tx.tx.QueryRow(ctx, statement, e.ID, e.Kind, e.Actor, e.UserID, e.FamilyID, e.ClientID, e.RequestID, e.Address, e.UserAgent,
		e.Reason, e.Detail).Scan(&e.At, &e.ClientID)
	if err != nil {
		return fmt.Errorf("append audit event: %w", translate(err))
	}
	return nil
}

// EventPlace is an event's place in the trail: by time, and by id where that is the same.
type EventPlace struct {
	At time.Time
	ID uuid.UUID
}

// EventQuery says which events are wanted. What is zero does not narrow.
type EventQuery struct {
	UserID    uuid.NullUUID
	FamilyID  uuid.NullUUID
	Kinds     []audit.Kind
	RequestID string
	Since     time.Time  // at or after
	Until     time.Time  // before
	Older     EventPlace // than this one: for the next page of the newest first
	Newer     EventPlace // than this one: for the next page of the oldest first
	Oldest    bool       // the oldest first
	Limit     int
}

// What older binaries wrote has its reason in detail.
const eventColumns = `id, at, kind, actor, user_id, family_id, client_id, request_id, address, user_agent,
	coalesce(nullif(reason, ''), detail->>'reason', detail->>'why', ''), detail`

// scanEvent reads eventColumns.
func scanEvent(row pgx.CollectableRow) (e audit.Event, err error) {
	err = row.Scan(&e.ID, &e.At, &e.Kind, &e.Actor, &e.UserID, &e.FamilyID, &e.ClientID, &e.RequestID, &e.Address, &e.UserAgent, &e.Reason, &e.Detail)
	return e, err
}

const eventsStatement = `
	SELECT ` + eventColumns + `
	  FROM audit_events
	 WHERE ($1::uuid IS NULL OR user_id = $1)
	   AND ($2::uuid IS NULL OR family_id = $2)
	   AND ($3::text[] IS NULL OR kind = ANY ($3))
	   AND ($4::text = '' OR request_id = $4)
	   AND at >= coalesce($5::timestamptz, '-infinity') AND at < coalesce($6::timestamptz, 'infinity')
	   AND ($7::timestamptz IS NULL OR (at, id) < ($7, $8::uuid))
	   AND ($9::timestamptz IS NULL OR (at, id) > ($9, $10::uuid))`

const (
	newestEvents = eventsStatement + ` ORDER BY at DESC, id DESC LIMIT $11`
	oldestEvents = eventsStatement + ` ORDER BY at, id LIMIT $11`
)

// Events reads the audit trail, the newest first unless the query says otherwise. An event's time is that of
// its writing, and it is seen once its transaction has ended: for a few seconds an older one may still come.
func (s *Store) Events(ctx context.Context, q EventQuery) ([]audit.Event, error) {
	ordered := newestEvents
	if q.Oldest {
		ordered = oldestEvents
	}
	var list []audit.Event
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			// Planned for its values: what does not narrow is known then, and the index of what does is used.
			if _, err := tx.Exec(ctx, `SET LOCAL plan_cache_mode = force_custom_plan`); err != nil {
				return err
			}
			rows, err := tx.Query(ctx, ordered, q.UserID, q.FamilyID, q.Kinds, q.RequestID, someTime(q.Since), someTime(q.Until),
				someTime(q.Older.At), q.Older.ID, someTime(q.Newer.At), q.Newer.ID, q.Limit)
			if err != nil {
				return err
			}
			list, err = pgx.CollectRows(rows, scanEvent)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read audit events: %w", err)
	}
	return list, nil
}

// someTime is nil for the zero time.
func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Now reads the database's clock.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	return now, nil
}
