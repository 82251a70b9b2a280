package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddress is the peer's address or, as far as trusted proxies vouch for it, the rightmost hop of
// X-Forwarded-For that is none of them: what stands further left anybody can write.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := plain(peer.Addr())
	if !contains(trusted, address) {
		return address
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return address
		}
		if hop = plain(hop); !contains(trusted, hop) {
			return hop
		}
	}
	return address
}

// plain writes an IPv4 address one way, and leaves out the zone, which means nothing elsewhere.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}
