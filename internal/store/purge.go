package store

import (
	"context"
	"fmt"
	"time"
)

// graceOfTheDead is how long what has expired stays: clocks differ, and requests are under way.
const graceOfTheDead = 24 * time.Hour

// TryPurge tells whether this transaction is the only one that purges, until it ends. The lock is the
// transaction's, so that it does not stay behind with a pooler's session.
func (tx *Tx) TryPurge(ctx context.Context) (alone bool, err error) {
	const statement = `SELECT pg_try_advisory_xact_lock(hashtextextended('kindred purge', 0))`
	if err := tx.tx.QueryRow(ctx, statement).Scan(&alone); err != nil {
		return false, fmt.Errorf("begin purge: %w", translate(err))
	}
	return alone, nil
}

// DeleteDeadFamilies deletes limit families at most that are past their absolute expiry, by a day at least,
// and tells how many. Those that somebody holds are left for the next time. Their tokens go with their
// partition.
func (tx *Tx) DeleteDeadFamilies(ctx context.Context, limit int) (int, error) {
	const statement = `
		DELETE FROM token_families
		 WHERE id IN (SELECT id FROM token_families
		               WHERE expires_on < ((clock_timestamp() - $1::interval) AT TIME ZONE 'UTC')::date
		               ORDER BY expires_on LIMIT $2 FOR UPDATE SKIP LOCKED)`
	tag, err := tx.tx.Exec(ctx, statement, graceOfTheDead, limit)
	if err != nil {
		return 0, fmt.Errorf("delete dead families: %w", translate(err))
	}
	return int(tag.RowsAffected()), nil
}

// DropPastTokens drops the oldest partition of refresh_tokens if all its families are past their expiry, by a
// day at least, and deleted. It returns the partition's name, empty if there was nothing to drop, or if somebody
// uses it: its lock is waited for 50 ms, since everybody else waits behind it.
func (tx *Tx) DropPastTokens(ctx context.Context) (name string, inUse bool, err error) {
	return tx.dropPast(ctx, "refresh_tokens", graceOfTheDead)
}

// DropPastEvents drops the oldest partition of audit_events if all its events are older than retention.
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
