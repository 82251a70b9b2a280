package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/family"
)

const listFamilies = `
	SELECT ` + familyColumns + `, t.now FROM token_families f, (SELECT clock_timestamp() AS now) AS t
	 WHERE f.user_id = $1 AND f.id < $2
	   AND ($3::boolean IS NULL OR (f.revoked_at IS NULL AND f.expires_at > t.now AND f.idle_expires_at > t.now) = $3)
	 ORDER BY f.id DESC LIMIT $4`

// FamilyPage lists a user's families, the newest first, limit of them at most, from behind the id before
// (uuid.Max: from the start); with live only those that can still be refreshed, or only the others. now is
// the clock that decided, where there are any. The user may have been deleted.
func (s *Store) FamilyPage(ctx context.Context, userID uuid.UUID, live *bool, before uuid.UUID, limit int) (list []family.Family, more bool, now time.Time, err error) {
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, listFamilies, userID, before, live, limit+1)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (family.Family, error) { return scanFamily(row, &now) })
		return err
	})
	if err != nil {
		return nil, false, time.Time{}, fmt.Errorf("list families: %w", err)
	}
	if len(list) > limit {
		return list[:limit], true, now, nil
	}
	return list, false, now, nil
}
