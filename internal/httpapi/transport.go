package httpapi

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// way is how a request came from its client.
type way int

const (
	inClear way = iota // over a net, for everybody on it to read
	private            // not known to be over TLS: from this machine, or from a trusted proxy that does not say
	secure             // over TLS
)

// wayOf tells how a request came. A trusted proxy is believed about its client's leg, whatever its own is. Its
// header may have grown on the way, and what stands further left a client can write: only if all words
// are https it was TLS, so that nobody can make more of a request than it is.
func wayOf(r *http.Request, proxies Proxies) way {
	peer := peerAddress(r)
	if contains(proxies.Trusted, peer) {
		schemes := schemesOf(r, proxies.Forwarded)
		switch {
		case slices.ContainsFunc(schemes, func(s string) bool { return !strings.EqualFold(s, "https") }):
			return inClear
		case len(schemes) > 0:
			return secure
		}
	}
	switch {
	case r.TLS != nil:
		return secure
	case peer.IsLoopback() || contains(proxies.Trusted, peer):
		return private
	}
	return inClear
}

// schemesOf is what proxies wrote about the protocol. A parameter that stands twice in one element counts
// as another protocol than https.
func schemesOf(r *http.Request, forwarded bool) (schemes []string) {
	if !forwarded {
		for _, line := range r.Header.Values("X-Forwarded-Proto") {
			for scheme := range strings.SplitSeq(line, ",") {
				schemes = append(schemes, strings.TrimSpace(scheme))
			}
		}
		return schemes
	}
	for _, line := range r.Header.Values("Forwarded") {
		for _, element := range splitUnquoted(line, ',') {
			switch scheme, _, times := forwardedPair(element, "proto"); times {
			case 0:
			case 1:
				schemes = append(schemes, scheme)
			default:
				schemes = append(schemes, "")
			}
		}
	}
	return schemes
}

// overTLS refuses what came in clear before anything of it is judged, and does not redirect it: a client that
// is redirected goes on sending its token in clear, each time. Balancers' checks carry nothing and pass.
// Over TLS browsers are told to come by it for two years (RFC 6797); not so where the name is localhost,
// which all programs of a developer's machine share, and not for subdomains, which are not ours to speak for.
func (a *API) overTLS(next http.Handler) http.Handler {
	const twoYears = "max-age=63072000"
	refuse := a.at("plain HTTP", a.refusePlain)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch wayOf(r, a.config.Proxies) {
		case secure:
			if !isLocalhost(r.Host) {
				w.Header().Set("Strict-Transport-Security", twoYears)
			}
		case inClear:
			if !a.config.AllowPlaintext && r.URL.Path != livePath && r.URL.Path != readyPath {
				refuse.ServeHTTP(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// refusePlain also tells the operator, once a minute at most, of a request that had something to hide.
func (a *API) refusePlain(_ http.ResponseWriter, r *http.Request) error {
	hasSecret := r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || r.ContentLength != 0
	if hasSecret && onceAMinute(&a.warnedAt) {
		a.config.Log.WarnContext(r.Context(), "a request came over plain HTTP and was refused; take the password or token in it for known to others",
			"peer", r.RemoteAddr, "request_id", callerOf(r).RequestID)
	}
	return errTLSRequired
}

func isLocalhost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
