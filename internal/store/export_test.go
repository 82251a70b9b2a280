package store

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Statements of which a test looks at the plan.
const (
	RotateStatement   = rotateStatement
	ReadStatement     = readStatement
	StandingStatement = standingStatement
	NewestEvents      = newestEvents
	OldestEvents      = oldestEvents
	ChainStatement    = chainStatement
	ReserveStatement  = reserveStatement
	DeadFamilies      = deadFamilies
	PurgeRevocations  = purgeRevocations
)

// Show reads a setting of one of the pool's sessions.
func (s *Store) Show(ctx context.Context, name string) (value string, err error) {
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&value)
	})
	return value, err
}

// WaitingRotations tells how many rotations wait for a group.
func (s *Store) WaitingRotations() int {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	return len(s.groups.waiting)
}

// GroupRotationsBy has groups rotated by another statement, their rotations sorted by family. ended is
// told how a statement ended.
func (s *Store) GroupRotationsBy(statement string, ended func(error)) {
	s.groups.together = func(ctx context.Context, list []Rotation) (map[uuid.UUID]Grant, error) {
		slices.SortFunc(list, func(a, b Rotation) int { return bytes.Compare(a.FamilyID[:], b.FamilyID[:]) })
		grants, err := s.rotateBy(ctx, statement, list)
		ended(err)
		return grants, err
	}
}
