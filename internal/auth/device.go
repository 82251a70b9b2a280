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

// claimedDevice reads a device token; nil if it is none of ours. That costs no statement.
func (s *Service) claimedDevice(deviceToken string) *token.Device {
	if deviceToken == "" || s.devices == nil {
		return nil
	}
	claimed, err := s.devices.Parse(deviceToken)
	if err != nil {
		return nil
	}
	return &claimed
}

// device says what the device token of a login is worth. None, and one that is not this user's or too old,
// are no error.
func (s *Service) device(ctx context.Context, username string, claimed *token.Device) (knownDevice, error) {
	fresh := knownDevice{id: uuid.New()}
	name, err := account.ParseUsername(username)
	if claimed == nil || err != nil {
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
