package config

import (
	"net"
	"net/netip"
	"strings"
)

const (
	tlsCertFile    = "TLS_CERT_FILE"
	tlsKeyFile     = "TLS_KEY_FILE"
	allowPlaintext = "ALLOW_PLAINTEXT"
)

// TLSConfig says how clients are spoken to.
type TLSConfig struct {
	CertFile, KeyFile string // both or neither: plain HTTP
	AllowPlaintext    bool   // requests over plain HTTP are taken from anywhere
}

// Enabled tells whether the listener speaks TLS.
func (c TLSConfig) Enabled() bool { return c.CertFile != "" }

func tlsSettings() []Setting {
	return []Setting{
		{Name: tlsCertFile, Description: "[TLS](docs/tls.md): file of the certificate and its chain (PEM), read again when it changes"},
		{Name: tlsKeyFile, Description: "file of that certificate's private key (PEM)"},
		{Name: allowPlaintext, Default: "false", Description: "`true` takes requests [over plain HTTP](docs/tls.md#plain-http) from anywhere, not only from TRUSTED_PROXIES and this machine"},
	}
}

// readTLS fills in how clients are spoken to, and holds the address and the origin against it.
func (r *reader) readTLS(c *Config) {
	c.TLS = TLSConfig{
		CertFile: r.text(tlsCertFile, ""), KeyFile: r.text(tlsKeyFile, ""),
		AllowPlaintext: r.choice(allowPlaintext, "false", "true", "false") == "true",
	}
	switch {
	case c.TLS.CertFile == "" && c.TLS.KeyFile != "":
		r.problem(tlsKeyFile, "is set, but "+tlsCertFile+" is not")
	case c.TLS.CertFile != "" && c.TLS.KeyFile == "":
		r.problem(tlsCertFile, "is set, but "+tlsKeyFile+" is not")
	case c.TLS.Enabled():
		r.checkSecureOrigin(c)
	default:
		r.checkPlainAddress(*c)
	}
}

// checkSecureOrigin: an origin of http would make links and an issuer that this listener does not answer at.
func (r *reader) checkSecureOrigin(c *Config) {
	host, plain := strings.CutPrefix(c.PublicURL, "http://")
	if !plain {
		return
	}
	if r.text(publicURL, "") != "" {
		r.problem(publicURL, "must begin with https:// where "+tlsCertFile+" is set")
	}
	c.PublicURL = "https://" + host
}

// checkPlainAddress refuses to send passwords and tokens over a net in clear unless somebody has said why
// that is no matter.
func (r *reader) checkPlainAddress(c Config) {
	if r.bad[listenAddr] || r.bad[trustedProxies] || isLoopback(c.ListenAddr) || len(c.TrustedProxies) > 0 || c.TLS.AllowPlaintext {
		return
	}
	r.problem(listenAddr, "is beyond this machine, and plain HTTP would carry passwords and tokens there in clear: set "+
		tlsCertFile+" and "+tlsKeyFile+", or "+trustedProxies+" to the proxies that speak TLS in front, or "+allowPlaintext+"=true")
}

// isLoopback tells whether nobody else can reach an address to listen on. Of names only localhost is known.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}
