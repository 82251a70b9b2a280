package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
)

// Seal encrypts a child to its parent: AES-256-GCM with a random nonce, under a key that needs both
// the parent's secret, which only its holder has, and the server's. Family, parent, child and
// generation are bound to it, so that a seal that was moved to another row opens nothing.
func (c *RefreshCodec) Seal(parent, child RefreshToken) ([]byte, error) {
	aead, err := sealer(c.keys[0], parent)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, []byte(child.wire), bond(parent, child.TokenID, child.Generation)), nil
}

// OpenSeal gives back the child of that id and generation. ErrSeal if the seal is not of this parent
// and this child, or was made under a secret that the codec does not have.
func (c *RefreshCodec) OpenSeal(parent RefreshToken, childID uuid.UUID, generation int64, sealed []byte) (RefreshToken, error) {
	for _, keys := range c.keys {
		aead, err := sealer(keys, parent)
		if err != nil {
			return RefreshToken{}, err
		}
		wire, err := aead.Open(nil, nil, sealed, bond(parent, childID, generation))
		if err != nil {
			continue
		}
		child, err := c.Parse(string(wire))
		if err != nil || child.TokenID != childID || child.FamilyID != parent.FamilyID || child.Generation != generation {
			return RefreshToken{}, ErrSeal
		}
		return child, nil
	}
	return RefreshToken{}, ErrSeal
}

// sealer's key is used once for each time that the parent is presented: far from the 2^32 random nonces
// that one key allows (NIST SP 800-38D §8.3).
func sealer(keys codecKeys, parent RefreshToken) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, parent.secret[:], keys.seal, "kindred successor seal v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive seal key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("prepare seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("prepare seal: %w", err)
	}
	return aead, nil
}

// bond is the additional data: fixed lengths, so that no two of them read the same.
func bond(parent RefreshToken, childID uuid.UUID, generation int64) []byte {
	data := make([]byte, 0, 16+16+16+8)
	data = append(data, parent.FamilyID[:]...)
	data = append(data, parent.TokenID[:]...)
	data = append(data, childID[:]...)
	return binary.BigEndian.AppendUint64(data, uint64(generation))
}
