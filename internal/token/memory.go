package token

import "sync"

// memory remembers what was verified, by the SHA-256 of the token: a dump of it gives no token away. It
// keeps two generations and drops the older when the younger is full, so that what is asked for often
// stays and the whole is bounded.
type memory struct {
	mu         sync.Mutex
	young, old map[[32]byte]AccessClaims
}

// maxRemembered is the size of one generation; with its claims an entry takes about half a KiB.
const maxRemembered = 8192

func (m *memory) get(digest [32]byte) (AccessClaims, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if claims, ok := m.young[digest]; ok {
		return claims, true
	}
	claims, ok := m.old[digest]
	if ok {
		m.keep(digest, claims)
	}
	return claims, ok
}

func (m *memory) put(digest [32]byte, claims AccessClaims) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(digest, claims)
}

func (m *memory) keep(digest [32]byte, claims AccessClaims) {
	if len(m.young) >= maxRemembered {
		m.old, m.young = m.young, nil
	}
	if m.young == nil {
		m.young = make(map[[32]byte]AccessClaims)
	}
	m.young[digest] = claims
}
