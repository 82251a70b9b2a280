package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}

const unknown = "invalid IP" // as the zero Addr prints

func addressOf(peer string, proxies Proxies, headers http.Header) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Header = peer, headers
	return clientAddress(r, proxies).String()
}

func TestClientAddress_BelievesTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"nobody forwards", "203.0.113.7:1", nil, "203.0.113.7"},
		{"a stranger forges", "203.0.113.7:1", []string{"192.0.2.1"}, "203.0.113.7"},
		{"one proxy", "10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{"what stands left of the client is forged", "10.0.0.1:1", []string{"1.1.1.1, 192.0.2.1"}, "192.0.2.1"},
		{"the client forges a proxy", "10.0.0.1:1", []string{"1.1.1.1, 10.0.0.9, 192.0.2.1"}, "192.0.2.1"},
		{"the client leaves a quote open", "10.0.0.1:1", []string{"\"1.1.1.1, 192.0.2.1"}, "192.0.2.1"},
		{"two proxies", "10.0.0.1:1", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"two headers", "10.0.0.1:1", []string{"192.0.2.1", "10.0.0.2"}, "192.0.2.1"},
		{"with a port", "10.0.0.1:1", []string{"192.0.2.1:4711"}, "192.0.2.1"},
		{"IPv6 with a port", "10.0.0.1:1", []string{"[2001:db9::1]:4711"}, "2001:db9::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"IPv6 with a zone", "[2001:db8::1]:1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"garbage in between", "10.0.0.1:1", []string{"192.0.2.1, x, 10.0.0.2"}, unknown},
		{"garbage behind", "10.0.0.1:1", []string{"192.0.2.1,"}, unknown},
		{"nothing forwarded", "10.0.0.1:1", nil, unknown},
		{"proxies only", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, unknown},
		{"no peer", "@", []string{"192.0.2.1"}, unknown},
	} {
		headers := http.Header{"X-Forwarded-For": c.forwarded, "Forwarded": {"for=198.51.100.1"}}
		if got := addressOf(c.peer, Proxies{Trusted: trusted}, headers); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestClientAddress_OfForwarded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		forwarded []string
		want      string
	}{
		{"one proxy", []string{"for=192.0.2.1"}, "192.0.2.1"},
		{"with more parameters", []string{`proto=https; For="192.0.2.1:4711" ;by=10.0.0.1;host="a,b;for=1.1.1.1"`}, "192.0.2.1"},
		{"IPv6", []string{`for="[2001:db9::1]"`}, "2001:db9::1"},
		{"IPv6 with a port", []string{`for="[2001:db9::1]:4711"`}, "2001:db9::1"},
		{"two proxies", []string{"for=192.0.2.1, for=10.0.0.2"}, "192.0.2.1"},
		{"two headers", []string{"for=192.0.2.1", "for=10.0.0.2"}, "192.0.2.1"},
		{"what stands left of the client is forged", []string{"for=1.1.1.1, for=192.0.2.1"}, "192.0.2.1"},
		{"the client leaves a quote open", []string{`for="1.1.1.1, for=192.0.2.1`}, "192.0.2.1"},
		{"an escaped quote", []string{`for=1.1.1.1, for=192.0.2.1;host="x\", for=1.1.1.1"`}, "192.0.2.1"},
		{"unknown", []string{"for=1.1.1.1, for=unknown"}, unknown},
		{"hidden", []string{"for=1.1.1.1, for=_hidden"}, unknown},
		{"IPv6 without quotes", []string{"for=[2001:db9::1]"}, unknown},
		{"twice in one element", []string{"for=1.1.1.1;for=192.0.2.1"}, unknown},
		{"no for", []string{"for=1.1.1.1, proto=https"}, unknown},
		{"proxies only", []string{"for=10.0.0.2"}, unknown},
		{"another header", nil, unknown},
	} {
		headers := http.Header{"Forwarded": c.forwarded, "X-Forwarded-For": {"198.51.100.1"}}
		if got := addressOf("10.0.0.1:1", Proxies{Trusted: trusted, Forwarded: true}, headers); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Whatever a client writes, and a proxy puts its address behind: that address it is.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", "1.1.1.1", `"`, `\`, "a\\\"", `for="`, "for=1.1.1.1;", ",", "[", `for="[::1]", `, "10.0.0.1, 10.0.0.2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, written string) {
		if strings.ContainsAny(written, "\r\n") {
			return // no header has one
		}
		for name, header := range map[string]http.Header{
			"X-Forwarded-For": {"X-Forwarded-For": {written + ", 192.0.2.1"}},
			"Forwarded":       {"Forwarded": {written + ", for=192.0.2.1"}},
			"own line":        {"Forwarded": {written, "for=192.0.2.1"}},
		} {
			if got := addressOf("10.0.0.1:1", Proxies{trusted, name != "X-Forwarded-For"}, header); got != "192.0.2.1" {
				t.Errorf("%s: %s", name, got)
			}
			if got := addressOf("10.0.0.1:1", Proxies{trusted, name != "X-Forwarded-For"}, http.Header{name: {written}}); got != unknown {
				if address, err := netip.ParseAddr(got); err != nil || contains(trusted, address) {
					t.Errorf("%s: a proxy is taken for a client: %s", name, got)
				}
			}
			if got := addressOf("203.0.113.7:1", Proxies{trusted, name != "X-Forwarded-For"}, header); got != "203.0.113.7" {
				t.Errorf("%s: a stranger is believed: %s", name, got)
			}
		}
	})
}
