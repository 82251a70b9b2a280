package auth

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Session is a family as its user sees it.
type Session struct {
	ID         uuid.UUID
	CreatedAt  time.Time
	LastUsedAt time.Time // the last rotation
	ExpiresAt  time.Time // if it is not used until then
	UserAgent  string
	Address    netip.Addr
	Current    bool // the one that asks
}

// Sessions lists the signed-in user's live families, last used first.
func (s *Service) Sessions(ctx context.Context, who Identity) ([]Session, error) {
	families, err := s.store.LiveFamilies(ctx, who.User.ID)
	if err != nil {
		return nil, err
	}
	sessions := make([]Session, 0, len(families))
	for _, f := range families {
		sessions = append(sessions, Session{
			ID: f.ID, CreatedAt: f.CreatedAt, LastUsedAt: f.RotatedAt, ExpiresAt: f.IdleExpiresAt,
			UserAgent: f.LastUserAgent, Address: f.LastAddress, Current: f.ID == who.SessionID,
		})
	}
	return sessions, nil
}
