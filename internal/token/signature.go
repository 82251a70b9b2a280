package token

import (
	"crypto/elliptic"
	"math/big"

	"github.com/golang-jwt/jwt/v5"
)

// methodOf is how keys of an algorithm sign; nil for one that we do not know.
func methodOf(a Algorithm) jwt.SigningMethod {
	switch a {
	case ES256:
		return lowS{jwt.SigningMethodES256}
	case EdDSA:
		return jwt.SigningMethodEdDSA
	case RS256:
		return jwt.SigningMethodRS256
	default:
		return nil
	}
}

// lowS is ES256 with one spelling. Whoever sees a signature (r, s) can write (r, n−s), which verifies as
// well; we make and take the one with the smaller s. RS256 and EdDSA (RFC 8032 §5.1.7) have no second one.
type lowS struct{ jwt.SigningMethod }

func (m lowS) Sign(text string, key any) ([]byte, error) {
	signature, err := m.SigningMethod.Sign(text, key)
	if err != nil {
		return nil, err
	}
	if s := secondHalf(signature); isHigh(s) {
		s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[len(signature)/2:])
	}
	return signature, nil
}

func (m lowS) Verify(text string, signature []byte, key any) error {
	if isHigh(secondHalf(signature)) {
		return jwt.ErrECDSAVerification
	}
	return m.SigningMethod.Verify(text, signature, key)
}

func secondHalf(signature []byte) *big.Int {
	return new(big.Int).SetBytes(signature[len(signature)/2:])
}

func isHigh(s *big.Int) bool {
	return new(big.Int).Lsh(s, 1).Cmp(elliptic.P256().Params().N) > 0
}
