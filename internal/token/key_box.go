package token

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrKeyBox: what is stored is no private key that was sealed with any of the key-encryption keys.
var ErrKeyBox = errors.New("private key does not open")

// KeyBox encrypts private keys at rest: AES-256-GCM with a random nonce, bound to the key's id and
// algorithm. It is safe for concurrent use.
type KeyBox struct{ aeads []cipher.AEAD } // the first seals, all of them open

// NewKeyBox takes key-encryption keys of 32 bytes: the current one, and earlier ones that still open.
func NewKeyBox(current []byte, previous ...[]byte) (*KeyBox, error) {
	const keyBytes = 32
	box := &KeyBox{}
	for _, kek := range append([][]byte{current}, previous...) {
		if len(kek) != keyBytes {
			return nil, fmt.Errorf("a key-encryption key has %d bytes and not %d", len(kek), keyBytes)
		}
		block, err := aes.NewCipher(kek)
		if err != nil {
			return nil, fmt.Errorf("prepare key encryption: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("prepare key encryption: %w", err)
		}
		box.aeads = append(box.aeads, aead)
	}
	return box, nil
}

// Seal returns the private key as it may be stored.
func (b *KeyBox) Seal(k SigningKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return b.aeads[0].Seal(nil, nil, der, keyBond(k.ID, k.Algorithm)), nil
}

// Open gives back the key that was sealed under that id and algorithm. The public key is computed from
// the private one and must have that id, so that nothing else in the row needs to be believed. ErrKeyBox if
// no key-encryption key opens it, or if it is no such key.
func (b *KeyBox) Open(id string, algorithm Algorithm, sealed []byte) (SigningKey, error) {
	for _, aead := range b.aeads {
		der, err := aead.Open(nil, nil, sealed, keyBond(id, algorithm))
		if err != nil {
			continue
		}
		private, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return SigningKey{}, fmt.Errorf("%w: %w", ErrKeyBox, err)
		}
		signer, _ := private.(crypto.Signer) // nil for a key that agrees and does not sign
		k, err := newSigningKey(algorithm, signer)
		if err != nil {
			return SigningKey{}, fmt.Errorf("%w: %w", ErrKeyBox, err)
		}
		if k.ID == id {
			return k, nil
		}
	}
	return SigningKey{}, ErrKeyBox
}

// keyBond is the additional data. No algorithm contains the separator.
func keyBond(id string, algorithm Algorithm) []byte { return []byte(string(algorithm) + "\x00" + id) }
