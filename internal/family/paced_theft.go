package family

import "net/netip"

// PacedTheft is how many generations in a row must have a foreign replay before a theft is suspected.
// One or two come about when a device changes its network just after an update of its browser.
const PacedTheft = 3

// ForeignReplays counts the generations in a row, up to Latest, in which another party replayed than
// the one that had rotated.
type ForeignReplays struct {
	InARow int
	Latest int64 // 0 while there was none: generation 0 has no parent to replay
}

// CountReplay returns the count as it is after a replay, and whether the replay is foreign. A
// generation counts once; one without a foreign replay breaks the row.
func (f Family) CountReplay(userAgent string, address netip.Addr) (count ForeignReplays, foreign bool) {
	count = f.ForeignReplays
	switch {
	case !f.isForeign(userAgent, address):
		return count, false
	case count.Latest == f.Generation:
		return count, true
	case count.Latest == f.Generation-1:
		return ForeignReplays{count.InARow + 1, f.Generation}, true
	default:
		return ForeignReplays{1, f.Generation}, true
	}
}

// isForeign wants another user agent and another network than those of the last rotation, and both
// known: tabs share the one, a browser and the server that renders for it often the other.
func (f Family) isForeign(userAgent string, address netip.Addr) bool {
	here, there := Network(address), Network(f.LastAddress)
	// A device with IPv4 and IPv6 uses both by turns, so that of two families nothing can be told.
	return userAgent != "" && f.LastUserAgent != "" && userAgent != f.LastUserAgent &&
		here.IsValid() && here.Bits() == there.Bits() && here != there
}

// Network is the /24 or the /48 of an address, and not valid for the zero Addr.
func Network(address netip.Addr) netip.Prefix {
	address = address.Unmap()
	bits := 48
	if address.Is4() {
		bits = 24
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
