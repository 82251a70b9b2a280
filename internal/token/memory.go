package token

import "sync"

// memory remembers the tokens whose signature was verified, by their SHA-256: a dump of it gives none
// away. It keeps two generations and drops the older when the younger is full, so that what is asked for
// often stays and the whole is bounded.
type memory struct {
	mu         sync.Mutex
	young, old map[[32]byte]struct{}
}

// maxRemembered is the size of one generation; both together take some 5 MiB.
const maxRemembered = 1 << 15

func (m *memory) has(digest [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.young[digest]; there {
		return true
	}
	_, there := m.old[digest]
	if there {
		m.keep(digest)
	}
	return there
}

func (m *memory) add(digest [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(digest)
}

func (m *memory) keep(digest [32]byte) {
	if m.young == nil || len(m.young) >= maxRemembered {
		m.old, m.young = m.young, make(map[[32]byte]struct{})
	}
	m.young[digest] = struct{}{}
}
