package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"kindred/internal/config"
	"kindred/internal/httpapi"
)

func (e *examination) settings(p process) {
	cfg, err := config.Load(p.settings())
	e.cfg, e.valid = cfg, err == nil
	if !e.valid {
		list := config.Problems{}
		if !errors.As(err, &list) {
			list = append(list, err.Error())
		}
		for _, text := range list {
			e.say("settings", levelProblem, text, "README.md lists all settings")
		}
		e.proxies() // those that could be read
		return
	}
	if len(cfg.Warnings) == 0 {
		e.say("settings", levelOK, "all can be read", "")
	}
	for _, weakness := range cfg.Warnings {
		e.say("settings", levelWarning, "weak secret: "+weakness, "`openssl rand -base64 48` makes a good one")
	}
	e.origin()
	e.proxies()
	e.ways()
}

// origin looks at the address that clients are told.
func (e *examination) origin() {
	u, err := url.Parse(e.cfg.PublicURL)
	switch {
	case err != nil: // checked with the settings
	case u.Hostname() == "localhost":
		e.say("public url", levelWarning, "PUBLIC_URL is "+e.cfg.PublicURL+", which is for one machine only",
			"set it to the origin that clients use, the same on all replicas")
	case u.Scheme == "https" && e.cfg.TLS.AllowPlaintext:
		e.say("public url", levelNote, "ALLOW_PLAINTEXT=true takes passwords and tokens in clear, although PUBLIC_URL is "+e.cfg.PublicURL,
			"unset it, unless a mesh or a tunnel encrypts what comes in: docs/tls.md")
	case u.Scheme != "https":
		e.say("public url", levelWarning, "PUBLIC_URL is "+e.cfg.PublicURL+": browsers send session cookies by HTTPS only",
			"serve by HTTPS, here or in the proxy, and set PUBLIC_URL to https://…")
	default:
		e.say("public url", levelOK, e.cfg.PublicURL, "")
	}
}

func (e *examination) proxies() {
	for _, prefix := range e.cfg.TrustedProxies {
		if prefix.Bits() == 0 {
			e.say("proxies", levelProblem, "TRUSTED_PROXIES has "+prefix.String()+": every client writes its own address, and so escapes the limits of guesses",
				"name the addresses of the proxies only")
			return
		}
	}
	switch trusted := len(e.cfg.TrustedProxies); {
	case trusted > 0:
		e.say("proxies", levelOK, fmt.Sprintf("%d networks of proxies are trusted", trusted), "")
	case e.valid:
		e.say("proxies", levelOK, "none is trusted: the address of a client is that of its connection", "")
	}
}

// ways looks at those to PostgreSQL, as serve warns of them.
func (e *examination) ways() {
	for name, hosts := range unverifiedWays(e.cfg) {
		e.unverified = true
		e.say("database tls", levelWarning, name+": whoever stands on the way to "+strings.Join(hosts, ", ")+" can read and change all that goes there",
			"add sslmode=verify-full: docs/tls.md")
	}
}

// certificate looks at the files of TLS as serve reads them.
func (e *examination) certificate(p process) {
	const soon = 14 * 24 * time.Hour
	listener, err := config.LoadListener(p.settings())
	if err != nil {
		return // told with the settings
	}
	if listener.CertFile == "" && listener.KeyFile == "" {
		e.plain(listener.Address)
		return
	}
	certificate, err := httpapi.ReadCertificate(listener.CertFile, listener.KeyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		e.say("tls", levelProblem, "TLS_CERT_FILE and TLS_KEY_FILE cannot be used: "+err.Error(),
			"both must be readable PEM files, the key that of the first certificate, which must be valid now")
		return
	}
	leaf := certificate.Leaf()
	if ends := leaf.NotAfter; ends.Sub(e.now) < soon {
		e.say("tls", levelWarning, "the certificate expires at "+cell(&ends), "renew it")
	} else {
		e.say("tls", levelOK, "the certificate is good until "+cell(&ends), "")
	}
	e.certificateName(leaf)
}

func (e *examination) plain(address string) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return // told with the settings
	}
	ip, err := netip.ParseAddr(host)
	here := host == "localhost" || err == nil && ip.IsLoopback()
	if !here && len(e.cfg.TrustedProxies) == 0 {
		e.say("tls", levelWarning, "plain HTTP on "+address+" is reached from other machines, and no proxy is trusted", "have a proxy before it speak TLS, and name it in TRUSTED_PROXIES")
		return
	}
	e.say("tls", levelOK, "plain HTTP on "+address, "")
}

func (e *examination) certificateName(leaf *x509.Certificate) {
	u, err := url.Parse(e.cfg.PublicURL)
	if err != nil || !e.valid || u.Scheme != "https" {
		return
	}
	if err := leaf.VerifyHostname(u.Hostname()); err != nil {
		e.say("tls", levelWarning, "the certificate is not for the host of PUBLIC_URL, "+u.Hostname(), "have one made for it, unless a proxy speaks TLS before this server")
	}
}
