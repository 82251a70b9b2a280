package token

import (
	"sync"
	"time"
)

// memory remembers what the tokens say that were verified, by their SHA-256: a dump of it gives none away.
// It keeps two generations and drops the older when the younger is full, so that what is asked for often
// stays and the whole is bounded.
type memory struct {
	mu         sync.Mutex
	young, old map[[32]byte]remembered
	bytes      int // of the young tokens' text
}

// remembered is a token that was good, but for its expiry, when it was seen first.
type remembered struct {
	claims    AccessClaims // shared: nobody changes them
	notBefore time.Time
	bytes     int
}

// A generation is full at either; both together take some 50 MiB at most, and 30 with tokens of usual size.
const (
	maxRemembered      = 1 << 14
	maxRememberedBytes = 8 << 20
)

func (m *memory) get(digest [32]byte) (remembered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, there := m.young[digest]; there {
		return r, true
	}
	r, there := m.old[digest]
	if there {
		m.keep(digest, r)
	}
	return r, there
}

func (m *memory) add(digest [32]byte, r remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(digest, r)
}

func (m *memory) keep(digest [32]byte, r remembered) {
	if m.young == nil || len(m.young) >= maxRemembered || m.bytes >= maxRememberedBytes {
		m.old, m.young, m.bytes = m.young, make(map[[32]byte]remembered), 0
	}
	m.young[digest] = r
	m.bytes += r.bytes
}
