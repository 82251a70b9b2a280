package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Violation is a family that breaks an invariant.
type Violation struct {
	Invariant string // I1 … I5
	Detail    string
	FamilyID  uuid.UUID
}

// invariants are statements that return the families which break one. A family whose partition was
// purged is never there: its row goes first.
var invariants = []struct{ name, detail, statement string }{
	{"I1", "a token has more than one child, or the family more than one root", `
		SELECT family_id FROM refresh_tokens GROUP BY family_id, parent_id HAVING count(*) > 1`},
	{"I2", "the current token is missing, or differs from its family", `
		SELECT f.id FROM token_families f
		  LEFT JOIN refresh_tokens t ON t.expires_on = f.expires_on AND t.id = f.current_token_id AND t.family_id = f.id
		 WHERE t.id IS NULL OR t.token_hash <> f.current_hash OR t.generation <> f.generation
		    OR t.parent_id IS DISTINCT FROM f.previous_token_id`},
	{"I2", "the current token has a child", `
		SELECT f.id FROM token_families f JOIN refresh_tokens t ON t.expires_on = f.expires_on AND t.parent_id = f.current_token_id AND t.family_id = f.id`},
	{"I2", "the number of tokens is not generation + 1", `
		SELECT f.id FROM token_families f LEFT JOIN refresh_tokens t ON t.family_id = f.id
		 GROUP BY f.id, f.generation HAVING count(t.id) <> f.generation + 1`},
	{"I3", "alive, although its user is disabled or deleted", `
		SELECT f.id FROM token_families f JOIN users u ON u.id = f.user_id
		 WHERE f.revoked_at IS NULL AND (u.disabled_at IS NOT NULL OR u.deleted_at IS NOT NULL)`},
	{"I3", "rotated after it was revoked", `
		SELECT id FROM token_families WHERE rotated_at > revoked_at`},
	{"I4", "a token's parent is not of its family, not one generation back, or not there", `
		SELECT t.family_id FROM refresh_tokens t
		  LEFT JOIN refresh_tokens p ON p.expires_on = t.expires_on AND p.id = t.parent_id AND p.family_id = t.family_id
		 WHERE t.parent_id IS NOT NULL AND (p.id IS NULL OR p.generation <> t.generation - 1)`},
	{"I5", "a token outlives its family, or lies in another partition", `
		SELECT t.family_id FROM refresh_tokens t JOIN token_families f ON f.id = t.family_id
		 WHERE t.expires_at > f.expires_at OR t.expires_on <> f.expires_on`},
}

// Check looks for families that break an invariant, in one snapshot, while the server runs. It reads
// whole tables and may take its time.
func (s *Store) Check(ctx context.Context) ([]Violation, error) {
	var found []Violation
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		return pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
			// They join whole tables.
			if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
				return err
			}
			found = nil
			for _, invariant := range invariants {
				rows, err := tx.Query(ctx, invariant.statement)
				if err != nil {
					return err
				}
				ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
				if err != nil {
					return err
				}
				for _, id := range ids {
					found = append(found, Violation{Invariant: invariant.name, Detail: invariant.detail, FamilyID: id})
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("check invariants: %w", err)
	}
	return found, nil
}
