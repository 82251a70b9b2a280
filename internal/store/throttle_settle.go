package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Settle takes a reservation back. right: the guess was right, and rows that count in a row begin anew;
// else it was never evaluated, and they become what they were unless somebody else was charged since. A
// guess that was wrong is not settled, and neither is one whose process died: the charge stays.
//
// forgiven are further rows that a right guess lets begin anew.
func (s *Store) Settle(ctx context.Context, r Reservation, right bool, forgiven ...[32]byte) error {
	const statement = `
		WITH taken AS (
		    SELECT * FROM unnest($1::bytea[], $2::int[], $3::interval[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
		        AS taken (key, charges, step, charged_at, prior_charged_at, prior_opens_at)
		), held AS MATERIALIZED (
		    SELECT t.key FROM throttle t WHERE t.key = ANY ($1) ORDER BY array_position($1::bytea[], t.key) FOR UPDATE
		), clocked AS MATERIALIZED (
		    SELECT set_config('synchronous_commit', 'off', true) FROM (SELECT count(*) FROM held) AS h
		)
		UPDATE throttle t
		   SET untold = greatest(t.untold - n.charges, 0),
		       failures = CASE WHEN $7 THEN 0 ELSE greatest(t.failures - n.charges, 0) END,
		       charged_at = CASE WHEN n.step = '0' AND $7 THEN 'epoch' WHEN t.charged_at = n.charged_at THEN n.prior_charged_at ELSE t.charged_at END,
		       opens_at = CASE WHEN n.step > '0' THEN t.opens_at - n.step WHEN $7 THEN 'epoch'
		                       WHEN t.charged_at = n.charged_at THEN n.prior_opens_at ELSE t.opens_at END
		  FROM taken n JOIN held h ON h.key = n.key CROSS JOIN clocked
		 WHERE t.key = n.key`
	n := len(r.rows) + len(forgiven)
	keys, charges, steps := make([][]byte, n), make([]int, n), make([]time.Duration, n)
	charged, priorCharged, priorOpens := make([]time.Time, n), make([]time.Time, n), make([]time.Time, n)
	for i := range forgiven {
		keys[i] = forgiven[i][:] // a device's: they are locked before networks
	}
	for i := range r.rows {
		row, at := &r.rows[i], len(forgiven)+i
		keys[at], charges[at], charged[at], priorCharged[at], priorOpens[at] = row.charge.Key[:], 1, row.now, row.priorChargedAt, row.opensAt
		if row.charge.Bucket.Limits() {
			steps[at] = row.charge.Bucket.Step()
		}
	}
	var err error
	const attempts = 3
	for range attempts {
		err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
			_, err := conn.Exec(ctx, statement, keys, charges, steps, charged, priorCharged, priorOpens, right)
			return err
		})
		if !errors.Is(err, errRunAgain) {
			break
		}
		pause(ctx)
	}
	if err != nil {
		return fmt.Errorf("settle guess: %w", err)
	}
	return nil
}

// TellRefusals claims the next row of the audit trail about refusals: first is false when somebody has
// recorded one less than a minute ago. count is how many there were since, guesses under way included.
func (tx *Tx) TellRefusals(ctx context.Context, r Reservation) (count int, first bool, err error) {
	const statement = `
		WITH told AS (
		    SELECT key, untold FROM throttle
		     WHERE key = $1 AND refusals_told_at <= clock_timestamp() - $2::interval
		       FOR UPDATE
		)
		UPDATE throttle t SET refusals_told_at = clock_timestamp(), untold = 0 FROM told WHERE t.key = told.key
		RETURNING told.untold`
	key := r.rows[0].charge.Key
	err = tx.tx.QueryRow(ctx, statement, key[:], newsAfter).Scan(&count)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("tell refusals: %w", translate(err))
	}
	return max(count, 1), true, nil
}

// TellThrottling claims the next row of the audit trail about guesses that a row of throttle did not let
// in, and returns the failures in a row that stand there.
func (tx *Tx) TellThrottling(ctx context.Context, key [32]byte) (failures int, first bool, err error) {
	const statement = `
		UPDATE throttle SET throttlings_told_at = clock_timestamp()
		 WHERE key = $1 AND throttlings_told_at <= clock_timestamp() - $2::interval
		RETURNING failures`
	err = tx.tx.QueryRow(ctx, statement, key[:], newsAfter).Scan(&failures)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("tell throttling: %w", translate(err))
	}
	return failures, true, nil
}
