package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

// Charge names a row of throttle and the rule that it follows.
type Charge struct {
	Key    [32]byte
	Scope  account.Scope
	Streak account.Streak // where the bucket limits nothing
	Bucket account.Bucket
}

// Guessed is whose password is guessed: what was counted before it last changed is void.
type Guessed struct {
	NameKey string    // of a name, whether or not a living user has it
	UserID  uuid.UUID // of a user
}

// Reservation is a guess that is charged as if it had failed, until Settle says what became of it.
type Reservation struct {
	rows []reserved
}

// Empty tells whether nothing was charged.
func (r Reservation) Empty() bool { return len(r.rows) == 0 }

// RefusalIsNews tells whether a refusal, should this guess be one, is the first in a minute of what it is
// charged to first. TellRefusals then decides.
func (r Reservation) RefusalIsNews() bool { return !r.Empty() && r.rows[0].refusalIsNews }

// ThrottledError says that a guess was not let in, and by what.
type ThrottledError struct {
	Charge Charge
	Wait   time.Duration
	IsNews bool // the first in a minute; TellThrottling then decides
}

func (e *ThrottledError) Error() string { return fmt.Sprintf("too many guesses: %s", e.Charge.Scope) }

// reserved is what the statement says of one charge.
type reserved struct {
	charge           Charge
	charged          bool
	now              time.Time
	opensAt          time.Time // before the charge
	priorChargedAt   time.Time
	refusalIsNews    bool
	throttlingIsNews bool
}

// reserveStatement charges all rows or none. It first looks without a lock, so that a flood of guesses
// that are not let in costs one reading each and no write; then it locks in the order in which the rows
// are given, which is the same everywhere, reads the clock and looks again. Whatever else waits for these
// rows waits for this one statement and not for a disk: a crash of PostgreSQL may forget the guesses of
// its last moments.
const reserveStatement = `
	WITH wanted AS (
	    SELECT * FROM unnest($1::bytea[], $2::int[], $3::interval[], $4::interval[], $5::int[], $6::interval[], $7::interval[])
	        WITH ORDINALITY AS w (key, free, first_wait, longest_wait, lock_after, step, span, position)
	), password AS (
	    SELECT coalesce(max(password_changed_at), 'epoch') AS set_at FROM users WHERE deleted_at IS NULL AND (username_key = $8 OR id = $9)
	), seen AS MATERIALIZED (
	    SELECT w.*, t.key IS NOT NULL AS found,
	           CASE WHEN w.step = '0' AND t.password_set_at <> password.set_at THEN 'epoch' ELSE coalesce(t.opens_at, 'epoch') END AS opens_at,
	           coalesce(t.refusals_told_at, 'epoch') AS refusals_told_at, coalesce(t.throttlings_told_at, 'epoch') AS throttlings_told_at
	      FROM password CROSS JOIN wanted w LEFT JOIN throttle t ON t.key = w.key
	), held AS MATERIALIZED (
	    SELECT t.key, t.failures, t.charged_at, t.opens_at, t.password_set_at FROM throttle t
	     WHERE t.key = ANY ($1) AND NOT EXISTS (SELECT FROM seen WHERE NOT found OR opens_at > clock_timestamp())
	     ORDER BY array_position($1::bytea[], t.key) FOR UPDATE
	), clocked AS MATERIALIZED (
	    SELECT clock_timestamp() AS now, set_config('synchronous_commit', 'off', true) FROM (SELECT count(*) FROM held) AS h
	), judged AS MATERIALIZED (
	    SELECT s.key, s.free, s.first_wait, s.longest_wait, s.lock_after, s.step, s.span, CASE WHEN void THEN 'epoch' ELSE h.charged_at END AS charged_at,
	           CASE WHEN void THEN 0 ELSE h.failures END + 1 AS failures, CASE WHEN void THEN 'epoch' ELSE h.opens_at END AS opens_at
	      FROM held h JOIN seen s ON s.key = h.key CROSS JOIN password
	     CROSS JOIN LATERAL (SELECT s.step = '0' AND h.password_set_at <> password.set_at AS void) AS v
	), verdict AS MATERIALIZED (
	    SELECT now, count(j.key) = cardinality($1::bytea[]) AND bool_and(j.opens_at <= now) AS open
	      FROM clocked LEFT JOIN judged j ON true GROUP BY now
	), charged AS (
	    UPDATE throttle t
	       SET untold = t.untold + 1, charged_at = v.now, password_set_at = password.set_at, failures = CASE WHEN j.step = '0' THEN j.failures ELSE 0 END,
	           opens_at = CASE
	               WHEN j.step > '0' THEN greatest(j.opens_at, v.now - j.span) + j.step
	               WHEN j.failures >= j.lock_after THEN v.now + $10::interval
	               WHEN j.failures >= j.free THEN v.now + least(j.longest_wait, j.first_wait * 2 ^ least(j.failures - j.free, 30))
	               ELSE v.now END
	      FROM judged j, verdict v, password WHERE t.key = j.key AND v.open
	    RETURNING t.key
	)
	SELECT c.key IS NOT NULL, v.now, coalesce(j.opens_at, s.opens_at), coalesce(j.charged_at, 'epoch'),
	       s.refusals_told_at <= v.now - $11::interval, s.throttlings_told_at <= v.now - $11::interval
	  FROM seen s CROSS JOIN verdict v LEFT JOIN judged j ON j.key = s.key LEFT JOIN charged c ON c.key = s.key
	 ORDER BY s.position`

// newsAfter is how long the audit trail says nothing more of what it has just told.
const newsAfter = time.Minute

// Reserve charges a guess to all of the rows, before anybody computes whether it is right, or to none of
// them: the error is then a *ThrottledError. However many replicas guess at once, no more are let in than
// the rules allow. Rows that are missing are made once nothing else keeps the guess out.
//
// The charges stand in the one order of scopes in which all of them are locked: a name, a device or a
// user, then the network, then everybody.
func (s *Store) Reserve(ctx context.Context, whose Guessed, charges []Charge) (Reservation, error) {
	const attempts = 10
	var err error
	for range attempts {
		var rows []reserved
		rows, err = s.reserveOnce(ctx, whose, charges)
		switch throttled, missing := verdictOf(rows); {
		case errors.Is(err, errRunAgain):
			pause(ctx)
		case err != nil:
			return Reservation{}, fmt.Errorf("reserve guess: %w", err)
		case throttled != nil:
			return Reservation{}, throttled
		case !missing:
			return Reservation{rows: rows}, nil
		default:
			if err = s.ensureThrottle(ctx, charges); err != nil && !errors.Is(err, errRunAgain) {
				return Reservation{}, fmt.Errorf("make rows for a guess: %w", err)
			}
		}
	}
	return Reservation{}, fmt.Errorf("reserve guess: %w: %w", ErrUnavailable, errors.Join(errRunAgain, err))
}

// verdictOf finds what keeps a guess out the longest. missing tells of rows that have to be made first.
func verdictOf(rows []reserved) (throttled *ThrottledError, missing bool) {
	for _, r := range rows {
		wait := r.opensAt.Sub(r.now)
		if !r.charged && wait > 0 && (throttled == nil || wait > throttled.Wait) {
			throttled = &ThrottledError{Charge: r.charge, Wait: wait, IsNews: r.throttlingIsNews}
		}
		missing = missing || !r.charged
	}
	return throttled, missing
}

func (s *Store) reserveOnce(ctx context.Context, whose Guessed, charges []Charge) (list []reserved, err error) {
	var nameKey *string
	if whose.NameKey != "" {
		nameKey = &whose.NameKey
	}
	n := len(charges)
	keys, free, limits := make([][]byte, n), make([]int, n), make([]int, n)
	first, longest, steps, spans := make([]time.Duration, n), make([]time.Duration, n), make([]time.Duration, n), make([]time.Duration, n)
	for i, c := range charges {
		keys[i], free[i], limits[i] = charges[i].Key[:], c.Streak.Free, c.Streak.Limit
		first[i], longest[i] = c.Streak.First, c.Streak.Longest
		if c.Bucket.Limits() {
			steps[i], spans[i] = c.Bucket.Step(), c.Bucket.Span()
		}
	}
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, reserveStatement, keys, free, first, longest, limits, steps, spans,
			nameKey, uuid.NullUUID{UUID: whose.UserID, Valid: whose.UserID != uuid.Nil}, account.LockedFor, newsAfter)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r reserved, err error) {
			err = row.Scan(&r.charged, &r.now, &r.opensAt, &r.priorChargedAt, &r.refusalIsNews, &r.throttlingIsNews)
			return r, err
		})
		return err
	})
	for i := range list {
		list[i].charge = charges[i]
	}
	return list, err
}

func (s *Store) ensureThrottle(ctx context.Context, charges []Charge) error {
	const statement = `
		INSERT INTO throttle (key, scope)
		SELECT key, scope FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS w (key, scope, position) ORDER BY position
		ON CONFLICT (key) DO NOTHING`
	var keys [][]byte
	var scopes []string
	for _, c := range charges {
		keys, scopes = append(keys, c.Key[:]), append(scopes, string(c.Scope))
	}
	return s.withConn(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, statement, keys, scopes)
		return err
	})
}
