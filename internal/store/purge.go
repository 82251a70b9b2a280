package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// graceOfTheDead is how long what has expired stays: clocks differ, and requests are under way.
const graceOfTheDead = 24 * time.Hour

// TryPurge tells whether this transaction is the only one that purges, until it ends. The lock is the
// transaction's, so that it does not stay behind with a pooler's session. Its statements may take a minute, and
// not only as long as a request's, since nobody waits behind them: one that is cut off would be so each time.
func (tx *Tx) TryPurge(ctx context.Context) (alone bool, err error) {
	const statement = `
		SELECT pg_try_advisory_xact_lock(hashtextextended('kindred purge', 0))
		  FROM set_config('statement_timeout', '60s', true)`
	if err := tx.tx.QueryRow(ctx, statement).Scan(&alone); err != nil {
		return false, fmt.Errorf("begin purge: %w", translate(err))
	}
	return alone, nil
}

// deadFamilies asks the clock once, in a query of its own: compared with each row, it would keep the index
// from being searched, and each purge would read all families.
const deadFamilies = `
	SELECT id FROM token_families
	 WHERE expires_on < (SELECT ((clock_timestamp() - $1::interval) AT TIME ZONE 'UTC')::date)
	 ORDER BY expires_on LIMIT $2`

// DeadFamilies lists families that are past their absolute expiry, by a day at least, limit of them at most. It
// is worth asking for many at once: a search passes over all that was deleted before, for as long as somebody's
// old snapshot keeps it from being cleared away.
func (tx *Tx) DeadFamilies(ctx context.Context, limit int) ([]uuid.UUID, error) {
	rows, err := tx.tx.Query(ctx, deadFamilies, graceOfTheDead, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead families: %w", translate(err))
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("list dead families: %w", translate(err))
	}
	return ids, nil
}

// DeleteDeadFamilies deletes those of the families that are past their absolute expiry, by a day at least, and
// tells how many. Those that somebody holds are left for the next time. Their tokens go with their partition.
func (tx *Tx) DeleteDeadFamilies(ctx context.Context, ids []uuid.UUID) (int, error) {
	const statement = `
		DELETE FROM token_families
		 WHERE ctid = ANY (ARRAY (SELECT ctid FROM token_families
		                           WHERE id = ANY ($1) AND expires_on < ((clock_timestamp() - $2::interval) AT TIME ZONE 'UTC')::date
		                           FOR UPDATE SKIP LOCKED))`
	tag, err := tx.tx.Exec(ctx, statement, ids, graceOfTheDead)
	if err != nil {
		return 0, fmt.Errorf("delete dead families: %w", translate(err))
	}
	return int(tag.RowsAffected()), nil
}

// DropPastTokens drops the oldest partition of refresh_tokens if all its families are past their expiry, by a
// day at least, and deleted. It returns the partition's name, empty if there was nothing to drop, or if somebody
// uses it: a lock is waited for 50 ms. The transaction then ends at once: the table is locked until it does, and
// the server ends a session that lets it wait for 250 ms.
func (tx *Tx) DropPastTokens(ctx context.Context) (name string, inUse bool, err error) {
	return tx.dropPast(ctx, "refresh_tokens", graceOfTheDead)
}

// DropPastEvents drops the oldest partition of audit_events, in the same way, if all its events are older than
// retention.
func (tx *Tx) DropPastEvents(ctx context.Context, retention time.Duration) (name string, inUse bool, err error) {
	return tx.dropPast(ctx, "audit_events", retention)
}

func (tx *Tx) dropPast(ctx context.Context, table string, age time.Duration) (name string, inUse bool, err error) {
	const statement = `SELECT kindred_drop_past_partition($1::text::regclass, ((clock_timestamp() - $2::interval) AT TIME ZONE 'UTC')::date)`
	var dropped *string
	if err := tx.tx.QueryRow(ctx, statement, table, age).Scan(&dropped); err != nil {
		return "", false, fmt.Errorf("drop past partition of %s: %w", table, translate(err))
	}
	if dropped == nil {
		return "", false, nil
	}
	return *dropped, *dropped == "", nil
}
