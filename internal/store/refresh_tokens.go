package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/family"
)

// Evidence is what is needed to judge a token of a family that is held.
type Evidence struct {
	User  account.User
	Row   *family.RefreshToken // nil where no such token stands
	Clock family.Clock
}

// Evidence reads, after the family's lock, the user, the presented token's row and the clock in one
// statement: all of one snapshot that is younger than the lock.
func (tx *Tx) Evidence(ctx context.Context, f family.Family, tokenID uuid.UUID) (Evidence, error) {
	const statement = `
		SELECT clock_timestamp(), pg_postmaster_start_time(),
		       t.id, t.parent_id, t.token_hash, t.generation, t.issued_at, t.expires_at, coalesce(t.user_agent, ''), t.address, ` + userColumns + `
		  FROM users u LEFT JOIN refresh_tokens t ON t.expires_on = $2 AND t.id = $3 AND t.family_id = $4
		 WHERE u.id = $1`
	var (
		e                   Evidence
		started             *time.Time
		id                  *uuid.UUID
		generation          *int64
		issuedAt, expiresAt *time.Time
		hash                []byte
		row                 = family.RefreshToken{FamilyID: f.ID, ExpiresOn: f.ExpiresOn}
	)
	fields := append([]any{&e.Clock.Now, &started, &id, &row.ParentID, &hash, &generation, &issuedAt, &expiresAt,
		&row.UserAgent, &row.Address}, userFields(&e.User)...)
	err := tx.tx.QueryRow(ctx, statement, f.UserID, f.ExpiresOn, tokenID, f.ID).Scan(fields...)
	if err != nil {
		return Evidence{}, fmt.Errorf("read evidence: %w", translate(err))
	}
	if id != nil {
		row.ID, row.Generation, row.IssuedAt, row.ExpiresAt = *id, *generation, *issuedAt, *expiresAt
		copy(row.Hash[:], hash)
		e.Row = &row
	}
	e.Clock.SteadySince = tx.store.health.steadySince(e.Clock.Now)
	if started != nil && started.After(e.Clock.SteadySince) {
		e.Clock.SteadySince = *started
	}
	return e, nil
}
