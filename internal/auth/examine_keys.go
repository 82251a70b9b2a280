package auth

import (
	"context"
	"time"
)

// ExamineKeys lists all signing keys and tells the database's time. The error is a *KeyError if one that verifies
// does not open with the key-encryption keys at hand. Unlike LoadKeys it makes none.
func (s *Service) ExamineKeys(ctx context.Context) (keys []SigningKeyInfo, now time.Time, err error) {
	stored, now, err := s.store.SigningKeys(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	if s.keyBox != nil {
		_, err = s.openKeys(stored, now)
	}
	return describeKeys(stored, now), now, err
}
