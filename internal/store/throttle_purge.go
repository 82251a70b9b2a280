package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

// PurgeThrottle deletes the rows that count nothing any more: those at rest, and those of wrong guesses
// that lock nothing and are ForgottenAfter old. span is the longest of all buckets'. It walks the table by
// the key in small steps, one replica at a time, from a place of chance and not for ever: what it does not
// reach, a later run will. It waits for no guess.
func (s *Store) PurgeThrottle(ctx context.Context, span time.Duration) error {
	const pages = 200
	start := make([]byte, 32)
	rand.Read(start)
	for _, from := range [][]byte{start, {}} {
		for range pages {
			last, err := s.purgeThrottlePage(ctx, from, span)
			if err != nil {
				return fmt.Errorf("purge throttle: %w", err)
			}
			if last == nil {
				break
			}
			from = last
		}
	}
	return nil
}

// purgeThrottlePage returns the last key that it looked at, nil where the table ends or another replica
// purges.
func (s *Store) purgeThrottlePage(ctx context.Context, after []byte, span time.Duration) (last []byte, err error) {
	const page, lock, statement = 1000, 0x6b696e6474687274, `
		WITH page AS MATERIALIZED (
		    SELECT key FROM throttle
		     WHERE key > $1 AND (SELECT pg_try_advisory_xact_lock($4))
		     ORDER BY key LIMIT $5
		), idle AS MATERIALIZED (
		    SELECT t.key FROM throttle t
		     WHERE t.key IN (SELECT key FROM page)
		       AND greatest(t.opens_at, t.charged_at) < clock_timestamp() - CASE WHEN t.failures = 0 THEN $2 ELSE $3 END::interval
		       FOR UPDATE SKIP LOCKED
		), gone AS (
		    DELETE FROM throttle t USING idle WHERE t.key = idle.key
		)
		SELECT key FROM page ORDER BY key DESC LIMIT 1`
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statement, after, max(span, newsAfter), account.ForgottenAfter, int64(lock), page).Scan(&last)
	})
	if errors.Is(err, ErrNotFound) || errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return last, err
}
