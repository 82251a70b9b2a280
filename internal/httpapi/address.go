package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Proxies says which peers may speak for others, and in which header they do.
type Proxies struct {
	Trusted []netip.Prefix
	// Forwarded: they write RFC 7239's Forwarded, else X-Forwarded-For. The other header is never read: a
	// proxy that does not manage it passes on what a client has written.
	Forwarded bool
}

// clientAddress is the peer's address or, as far as trusted proxies vouch for it, the rightmost hop that
// is none of them: what stands further left anybody can write. Where a trusted proxy does not say whom it
// speaks for, or in no words that can be understood, the address is not known (the zero Addr): it is not
// the proxy's, who would answer for all of its clients.
func clientAddress(r *http.Request, proxies Proxies) netip.Addr {
	address := peerAddress(r)
	if !contains(proxies.Trusted, address) {
		return address
	}
	header, hopAddress := r.Header.Values("X-Forwarded-For"), hopOf
	if proxies.Forwarded {
		header, hopAddress = r.Header.Values("Forwarded"), hopOfForwarded
	}
	for _, line := range slices.Backward(header) {
		for _, hop := range slices.Backward(splitUnquoted(line, ',')) {
			address, known := hopAddress(hop)
			if !known || !contains(proxies.Trusted, address) {
				return address
			}
		}
	}
	return netip.Addr{}
}

// wantAddress tells the operator, once a minute at most, that the client of a request that is limited by
// its network has no address.
func (a *API) wantAddress(r *http.Request) {
	if callerOf(r).Address.IsValid() || !onceAMinute(&a.hintedAt) {
		return
	}
	a.config.Log.WarnContext(r.Context(), "a client's address is not known, and no limit of its network holds: what does the trusted proxy send?",
		"peer", r.RemoteAddr, "request_id", callerOf(r).RequestID)
}

// onceAMinute is true for the first that asks in a while, whose time it notes.
func onceAMinute(noted *atomic.Int64) bool {
	const often = 60
	now, last := time.Now().Unix(), noted.Load()
	return now-last >= often && noted.CompareAndSwap(last, now)
}

// splitUnquoted splits at a separator outside of quoted strings (RFC 9110 §5.6.4). It goes from the right,
// where the nearest proxy wrote: a quote that a client left open further left swallows none of that.
func splitUnquoted(text string, separator byte) (parts []string) {
	end, quoted := len(text), false
	for i := len(text) - 1; i >= 0; i-- {
		switch {
		case text[i] == '"' && !(quoted && escaped(text, i)):
			quoted = !quoted
		case text[i] == separator && !quoted:
			parts = append(parts, text[i+1:end])
			end = i
		}
	}
	parts = append(parts, text[:end])
	slices.Reverse(parts)
	return parts
}

// escaped tells whether an odd number of backslashes stands before a place.
func escaped(text string, at int) bool {
	before := strings.TrimRight(text[:at], `\`)
	return (at-len(before))%2 == 1
}

// hopOfForwarded reads the for parameter of one element.
func hopOfForwarded(element string) (address netip.Addr, known bool) {
	node, quoted, times := forwardedPair(element, "for")
	if times != 1 || !quoted && strings.Contains(node, ":") { // must be quoted
		return netip.Addr{}, false
	}
	return hopOf(node)
}

// forwardedPair reads a parameter of one element (RFC 7239 §4), which may stand there once.
func forwardedPair(element, parameter string) (value string, quoted bool, times int) {
	for _, pair := range splitUnquoted(element, ';') {
		name, text, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, parameter) {
			value, times = text, times+1
		}
	}
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1], true, times
	}
	return value, false, times
}

// hopOf reads an address as a proxy writes it, with or without a port, IPv6 with a port in brackets. It is
// not known where it stands for somebody unnamed (RFC 7239 §6.2, §6.3) or for nothing.
func hopOf(node string) (address netip.Addr, known bool) {
	node = strings.TrimSpace(node)
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(node, "["), "]"))
	if err != nil || strings.HasPrefix(node, "[") != strings.HasSuffix(node, "]") {
		withPort, portErr := netip.ParseAddrPort(node)
		if portErr != nil {
			return netip.Addr{}, false
		}
		address = withPort.Addr()
	}
	return plain(address), true
}

// peerAddress is whoever is at the other end of the connection; the zero Addr where that is no address.
func peerAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(peer.Addr())
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
