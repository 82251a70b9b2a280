package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"kindred/internal/audit"
)

// Append records an event in the transaction that makes it true, with the database's time.
func (tx *Tx) Append(ctx context.Context, e audit.Event) error {
	const statement = `
		INSERT INTO audit_events (id, at, kind, actor, user_id, family_id, client_id, request_id, address, user_agent, detail)
		VALUES ($1, clock_timestamp(), $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make event id: %w", err)
	}
	if e.Detail == nil {
		e.Detail = map[string]any{}
	}
	_, err = tx.tx.Exec(ctx, statement, id, e.Kind, e.Actor, e.UserID, e.FamilyID, e.ClientID, e.RequestID, e.Address, e.UserAgent, e.Detail)
	if err != nil {
		return fmt.Errorf("append audit event: %w", translate(err))
	}
	return nil
}
