package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
	"kindred/internal/family"
)

const familyColumns = `f.id, f.user_id, f.client_id, f.created_at, f.auth_time, f.expires_at, f.expires_on,
	f.current_token_id, f.current_hash, f.previous_token_id, f.generation, f.rotated_at, f.idle_expires_at,
	f.access_until, f.successor_seal, f.revoked_at, coalesce(f.revoked_reason, ''), coalesce(f.revoked_by, ''),
	f.first_user_agent, f.first_address, f.last_user_agent, f.last_address,
	f.foreign_replays, f.foreign_replay_generation, f.replays, f.replays_recorded, f.replay_recorded_at`

// scanFamily reads familyColumns, and into more what stands behind them.
func scanFamily(row pgx.Row, more ...any) (family.Family, error) {
	var f family.Family
	var hash []byte
	err := row.Scan(append([]any{&f.ID, &f.UserID, &f.ClientID, &f.CreatedAt, &f.AuthTime, &f.ExpiresAt, &f.ExpiresOn,
		&f.CurrentTokenID, &hash, &f.PreviousTokenID, &f.Generation, &f.RotatedAt, &f.IdleExpiresAt,
		&f.AccessUntil, &f.SuccessorSeal, &f.RevokedAt, &f.RevokedReason, &f.RevokedBy,
		&f.FirstUserAgent, &f.FirstAddress, &f.LastUserAgent, &f.LastAddress,
		&f.ForeignReplays.InARow, &f.ForeignReplays.Latest, &f.Replays.Count, &f.Replays.Recorded, &f.Replays.RecordedAt}, more...)...)
	copy(f.CurrentHash[:], hash)
	return f, translate(err)
}

// StartFamily appends a family and its first token, in one statement, and counts the user's other live
// families, without those of logins that are under way. The caller holds the user's row (ShareUser or
// LockUser), has looked at its state, and has filled f by a reading of the database's clock.
func (tx *Tx) StartFamily(ctx context.Context, f family.Family) (others int, err error) {
	const statement = `
		WITH started AS (
		    INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on,
		        current_token_id, current_hash, rotated_at, idle_expires_at, access_until,
		        first_user_agent, first_address, last_user_agent, last_address)
		    VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $4, $9, $10, $11, $12, $11, $12)
		)
		INSERT INTO refresh_tokens (id, expires_on, family_id, token_hash, generation, issued_at, expires_at, user_agent, address)
		VALUES ($7, $6, $1, $8, 0, $4, $9, $11, $12)
		RETURNING (SELECT count(*) FROM token_families f
		            WHERE f.user_id = $2 AND f.revoked_at IS NULL AND f.expires_at > $4 AND f.idle_expires_at > $4)`
	err = tx.tx.QueryRow(ctx, statement, f.ID, f.UserID, f.ClientID, f.CreatedAt, f.ExpiresAt, f.ExpiresOn,
		f.CurrentTokenID, f.CurrentHash[:], f.IdleExpiresAt, f.AccessUntil, f.FirstUserAgent, f.FirstAddress).Scan(&others)
	if err != nil {
		return 0, fmt.Errorf("start family: %w", translate(err))
	}
	return others, nil
}

// LockFamily reads a family under its lock. What depends on other rows or on the clock must be read
// in a later statement: this one may have begun before it had to wait. ErrNotFound if there is none.
func (tx *Tx) LockFamily(ctx context.Context, id uuid.UUID) (family.Family, error) {
	const statement = `SELECT ` + familyColumns + ` FROM token_families f WHERE f.id = $1 FOR UPDATE`
	f, err := scanFamily(tx.tx.QueryRow(ctx, statement, id))
	if err != nil {
		return family.Family{}, fmt.Errorf("lock family: %w", err)
	}
	return f, nil
}

// LockFamiliesOfClient reads live families of a client under their locks, limit of them at most, in the
// order of their ids. The built-in client has none here: it cannot end.
func (tx *Tx) LockFamiliesOfClient(ctx context.Context, clientID string, limit int) ([]family.Family, error) {
	const statement = `
		SELECT ` + familyColumns + ` FROM token_families f
		 WHERE f.client_id = $1 AND f.client_id <> 'kindred' AND f.revoked_at IS NULL
		 ORDER BY f.id LIMIT $2 FOR UPDATE`
	rows, err := tx.tx.Query(ctx, statement, clientID, limit)
	if err != nil {
		return nil, fmt.Errorf("lock families of client: %w", translate(err))
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (family.Family, error) { return scanFamily(row) })
	if err != nil {
		return nil, fmt.Errorf("lock families of client: %w", translate(err))
	}
	return list, nil
}

// NoteReplay notes that an access token of the family may live until then, and what is counted of
// replays. The caller holds the family.
func (tx *Tx) NoteReplay(ctx context.Context, id uuid.UUID, accessUntil time.Time, foreign family.ForeignReplays, replays family.Replays) error {
	const statement = `
		UPDATE token_families
		   SET access_until = least(greatest(access_until, $2), expires_at), foreign_replays = $3, foreign_replay_generation = $4,
		       replays = $5, replays_recorded = $6, replay_recorded_at = $7
		 WHERE id = $1`
	_, err := tx.changeOne(ctx, "note replay", statement, id, accessUntil, foreign.InARow, foreign.Latest,
		replays.Count, replays.Recorded, replays.RecordedAt)
	return err
}

// RevokeFamily ends a family for good and puts its access tokens on the blacklist. changed is false
// when it had ended before.
func (tx *Tx) RevokeFamily(ctx context.Context, id uuid.UUID, reason family.Reason, by string) (changed bool, err error) {
	const statement = `
		WITH ended AS (
		    UPDATE token_families SET revoked_at = clock_timestamp(), revoked_reason = $2, revoked_by = $3
		     WHERE id = $1 AND revoked_at IS NULL
		    RETURNING id, access_until
		)
		INSERT INTO revocations (kind, subject, until) SELECT 'family', id, access_until + $4::interval FROM ended
		RETURNING ` + revocationColumns
	written, err := tx.list(ctx, "revoke family", statement, id, reason, by, afterlife)
	return len(written) > 0, err
}

// RevokeFamilies ends all families of a user but one (uuid.Nil: all), locking them in the order of
// their ids, puts their access tokens on the blacklist, and returns the families that it ended. The
// caller holds the user's row since an earlier statement of the same transaction, so that no login
// slips in between.
func (tx *Tx) RevokeFamilies(ctx context.Context, userID, except uuid.UUID, reason family.Reason, by string) ([]uuid.UUID, error) {
	const statement = `
		WITH held AS MATERIALIZED (
		    SELECT id FROM token_families
		     WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL
		     ORDER BY id FOR UPDATE
		), ended AS (
		    UPDATE token_families f SET revoked_at = clock_timestamp(), revoked_reason = $3, revoked_by = $4
		      FROM held WHERE f.id = held.id AND f.revoked_at IS NULL
		    RETURNING f.id, f.access_until
		)
		INSERT INTO revocations (kind, subject, until) SELECT 'family', id, access_until + $5::interval FROM ended
		RETURNING ` + revocationColumns
	return tx.revokeList(ctx, "revoke families", statement, userID, except, reason, by, afterlife)
}

// RevokeOldestFamilies ends a user's live families but one and the newest keep beside it, locking them in
// the order of their ids, puts their access tokens on the blacklist, and returns the families that it ended.
// The caller holds the user's row exclusively since an earlier statement of the same transaction.
func (tx *Tx) RevokeOldestFamilies(ctx context.Context, userID, except uuid.UUID, keep int, reason family.Reason, by string) ([]uuid.UUID, error) {
	const statement = `
		WITH oldest AS MATERIALIZED (
		    SELECT id FROM token_families, (SELECT clock_timestamp() AS now) AS t
		     WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL AND expires_at > t.now AND idle_expires_at > t.now
		     ORDER BY created_at DESC, id DESC OFFSET $6
		), held AS MATERIALIZED (
		    SELECT id FROM token_families WHERE id IN (SELECT id FROM oldest) ORDER BY id FOR UPDATE
		), ended AS (
		    UPDATE token_families f SET revoked_at = clock_timestamp(), revoked_reason = $3, revoked_by = $4
		      FROM held WHERE f.id = held.id AND f.revoked_at IS NULL
		    RETURNING f.id, f.access_until
		)
		INSERT INTO revocations (kind, subject, until) SELECT 'family', id, access_until + $5::interval FROM ended
		RETURNING ` + revocationColumns
	return tx.revokeList(ctx, "revoke oldest families", statement, userID, except, reason, by, afterlife, keep)
}

// revokeList runs a statement that revokes families, and names them.
func (tx *Tx) revokeList(ctx context.Context, what, statement string, args ...any) ([]uuid.UUID, error) {
	written, err := tx.list(ctx, what, statement, args...)
	if err != nil {
		return nil, err
	}
	ended := make([]uuid.UUID, 0, len(written))
	for _, r := range written {
		ended = append(ended, r.Subject)
	}
	return ended, nil
}

// LiveFamilies lists a user's families that can still be refreshed, last used first.
func (s *Store) LiveFamilies(ctx context.Context, userID uuid.UUID) ([]family.Family, error) {
	const statement = `
		SELECT ` + familyColumns + ` FROM token_families f, (SELECT clock_timestamp() AS now) AS t
		 WHERE f.user_id = $1 AND f.revoked_at IS NULL AND f.expires_at > t.now AND f.idle_expires_at > t.now
		 ORDER BY f.rotated_at DESC, f.id DESC`
	var list []family.Family
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, statement, userID)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (family.Family, error) { return scanFamily(row) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list families: %w", err)
	}
	return list, nil
}

// FamilyAndUser reads a family, its user and the clock in one statement, without a lock: what somebody may
// be told, and nothing to act upon. ErrNotFound if there is no such family.
func (s *Store) FamilyAndUser(ctx context.Context, id uuid.UUID) (f family.Family, user account.User, now time.Time, err error) {
	const statement = `
		SELECT ` + familyColumns + `, clock_timestamp(), ` + userColumns + `
		  FROM token_families f JOIN users u ON u.id = f.user_id WHERE f.id = $1`
	err = s.withConn(ctx, func(conn *pgxpool.Conn) (err error) {
		f, err = scanFamily(conn.QueryRow(ctx, statement, id), append([]any{&now}, userFields(&user)...)...)
		return err
	})
	if err != nil {
		return family.Family{}, account.User{}, time.Time{}, fmt.Errorf("read family: %w", err)
	}
	return f, user, now, nil
}

// Standing is what an access token's check needs to know of its family and user, by the database.
type Standing struct {
	Now  time.Time // by the database
	User account.User
	Live bool // the family is neither revoked nor past its absolute expiry, the token not revoked by itself
}

// AccessToken is what may be revoked of an access token.
type AccessToken struct {
	ID       uuid.UUID
	FamilyID uuid.UUID
	IssuedAt time.Time
	KeyID    string // empty where no key of the database signed it
}

const standingStatement = `
	SELECT clock_timestamp(), f.revoked_at IS NULL AND f.expires_at > clock_timestamp()
	           AND NOT EXISTS (SELECT FROM revocations r WHERE r.subject = $2 AND r.kind = 'token')
	           AND NOT EXISTS (SELECT FROM revocations r WHERE r.kind = 'all' AND r.before > $3)
	           AND ($4 = '' OR EXISTS (SELECT FROM signing_keys k WHERE k.id = $4 AND k.revoked_at IS NULL AND k.retired_at IS NULL)),
	       ` + userColumns + `
	  FROM token_families f JOIN users u ON u.id = f.user_id
	 WHERE f.id = $1`

// Standing reads a family and its user in one statement, and whether the blacklist or the end of its
// key rules out that very token. ErrNotFound if there is no such family.
func (s *Store) Standing(ctx context.Context, t AccessToken) (Standing, error) {
	var standing Standing
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		fields := append([]any{&standing.Now, &standing.Live}, userFields(&standing.User)...)
		return conn.QueryRow(ctx, standingStatement, t.FamilyID, t.ID, t.IssuedAt, t.KeyID).Scan(fields...)
	})
	if err != nil {
		return Standing{}, fmt.Errorf("read standing: %w", err)
	}
	return standing, nil
}
