package auth

import (
	"context"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/store"
	"kindred/internal/token"
)

// knownDevice is what a login's device token is worth.
type knownDevice struct {
	id    uuid.UUID // of the device, or a new one
	known bool      // the user of the name has logged in there, and no password was set since
}

// device looks at the device token of a login. One that is not ours, not this user's or too old is no
// error: it is as good as none, and one that is not ours costs no statement.
func (s *Service) device(ctx context.Context, r LoginRequest) (knownDevice, error) {
	fresh := knownDevice{id: uuid.New()}
	if r.DeviceToken == "" || s.devices == nil {
		return fresh, nil
	}
	claimed, err := s.devices.Parse(r.DeviceToken)
	if err != nil {
		return fresh, nil
	}
	name, err := account.ParseUsername(r.Username)
	if err != nil {
		return fresh, nil
	}
	known, err := s.store.KnowsDevice(ctx, name, claimed.UserID, claimed.IssuedAt, token.DeviceLifetime)
	if err != nil || !known {
		return fresh, err
	}
	return knownDevice{id: claimed.ID, known: true}, nil
}

// deviceToken is what a login leaves on the device that it was made on.
func (s *Service) deviceToken(grant store.Grant, device knownDevice) string {
	if s.devices == nil {
		return ""
	}
	return s.devices.Mint(token.Device{ID: device.id, UserID: grant.User.ID, IssuedAt: grant.Now})
}
