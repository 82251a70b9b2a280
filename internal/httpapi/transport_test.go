package httpapi

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const stranger, proxy, loopback = "203.0.113.7:1", "10.0.0.1:1", "127.0.0.1:1"

// asked is what a request without any token is answered, by its peer, by what its headers say and by whether it
// came over TLS. The use cases are never asked.
func asked(config Config, method, path, peer, host string, overTLS bool, headers http.Header) *httptest.ResponseRecorder {
	config.PublicURL, config.RequestTimeout = "https://id.example", time.Minute
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr, r.Host = peer, host
	if headers != nil {
		r.Header = headers
	}
	if overTLS {
		r.TLS = &tls.ConnectionState{}
	}
	w := httptest.NewRecorder()
	New(config, nil).ServeHTTP(w, r)
	return w
}

const (
	refused  = "refused"
	accepted = "accepted"
	strictly = "accepted, with HSTS"
)

// fateOf says how the check of the transport ended.
func fateOf(w *httptest.ResponseRecorder) string {
	hsts := w.Header().Get("Strict-Transport-Security") != ""
	switch {
	case w.Code == http.StatusBadRequest && strings.Contains(w.Body.String(), `"code":"tls_required"`) && !hsts:
		return refused
	case w.Code == http.StatusUnauthorized && hsts: // there was no token
		return strictly
	case w.Code == http.StatusUnauthorized:
		return accepted
	}
	return w.Body.String()
}

func TestTransport_WhatIsTakenFromWhom(t *testing.T) {
	t.Parallel()
	said := func(words ...string) http.Header { return http.Header{"X-Forwarded-Proto": words} }
	const plainHTTP, overTLS = false, true
	for _, c := range []struct {
		name    string
		peer    string
		tls     bool
		headers http.Header
		want    string
		allowed string // with ALLOW_PLAINTEXT
	}{
		{"a stranger in clear", stranger, plainHTTP, nil, refused, accepted},
		{"a stranger who claims otherwise", stranger, plainHTTP, said("https"), refused, accepted},
		{"a stranger over TLS", stranger, overTLS, nil, strictly, strictly},
		{"a stranger over TLS who claims otherwise", stranger, overTLS, said("http"), strictly, strictly},
		{"this machine", loopback, plainHTTP, nil, accepted, accepted},
		{"this machine by IPv6", "[::1]:1", plainHTTP, nil, accepted, accepted},
		{"this machine, IPv4 in IPv6", "[::ffff:127.0.0.1]:1", plainHTTP, nil, accepted, accepted},
		{"this machine is no trusted proxy", loopback, plainHTTP, said("http"), accepted, accepted},
		{"a proxy whose client speaks TLS", proxy, plainHTTP, said("https"), strictly, strictly},
		{"in capitals", proxy, plainHTTP, said("HTTPS"), strictly, strictly},
		{"a proxy whose client does not", proxy, plainHTTP, said("http"), refused, accepted},
		{"a proxy over TLS whose client does not", proxy, overTLS, said("http"), refused, accepted},
		{"a proxy that does not say", proxy, plainHTTP, nil, accepted, accepted},
		{"a proxy over TLS that does not say", proxy, overTLS, nil, strictly, strictly},
		{"one leg of two in clear", proxy, plainHTTP, said("https, http"), refused, accepted},
		{"the client writes https, the proxy adds", proxy, plainHTTP, said("https", "http"), refused, accepted},
		{"two legs over TLS", proxy, plainHTTP, said("https,https"), strictly, strictly},
		{"no word", proxy, plainHTTP, said(""), refused, accepted},
		{"another protocol", proxy, plainHTTP, said("ws"), refused, accepted},
		{"no address", "@", plainHTTP, nil, refused, accepted},
	} {
		for allow, want := range map[bool]string{false: c.want, true: c.allowed} {
			config := Config{Proxies: Proxies{Trusted: trusted}, AllowPlaintext: allow}
			if got := fateOf(asked(config, http.MethodGet, "/me", c.peer, "id.example", c.tls, c.headers)); got != want {
				t.Errorf("%s, ALLOW_PLAINTEXT=%v: %s, want %s", c.name, allow, got, want)
			}
		}
	}
}

func TestTransport_OfForwarded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		forwarded []string
		want      string
	}{
		{"TLS", []string{"for=192.0.2.1;proto=https"}, strictly},
		{"quoted", []string{`for=192.0.2.1;Proto="https"`}, strictly},
		{"in clear", []string{"proto=http;for=192.0.2.1"}, refused},
		{"not said", []string{"for=192.0.2.1"}, accepted},
		{"nothing", nil, accepted},
		{"one leg in clear", []string{"for=192.0.2.1;proto=http, for=10.0.0.2;proto=https"}, refused},
		{"the proxy adds to what the client wrote", []string{"proto=https", "proto=http"}, refused},
		{"twice", []string{"proto=https;proto=https"}, refused},
		{"a quote left open", []string{`for=";proto=https, proto=http`}, refused},
	} {
		config := Config{Proxies: Proxies{Trusted: trusted, Forwarded: true}}
		headers := http.Header{"X-Forwarded-Proto": {"https"}, "Forwarded": c.forwarded} // the one is never read for the other
		if got := fateOf(asked(config, http.MethodGet, "/me", proxy, "id.example", false, headers)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// What is refused is refused at every door, before anything else is looked at; balancers' checks pass.
func TestTransport_RefusesAtEveryDoor(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"POST", "/login"}, {"POST", "/token"}, {"POST", "/revoke"}, {"GET", "/reset?token=x"}, {"OPTIONS", "/login"}, {"GET", "/verify/x"},
		{"GET", "/.well-known/jwks.json"}, {"GET", "/nothing"}, {"PUT", "/login"}, {"GET", "//livez"}, {"GET", "/livez/x"}, {"GET", "/readyz/"},
	} {
		w := asked(Config{CORSAllowedOrigins: []string{"https://app.example"}}, c[0], c[1], stranger, "id.example", false, http.Header{"Origin": {"https://evil.example"}})
		if got := fateOf(w); got != refused || w.Header().Get("Location") != "" {
			t.Errorf("%s %s: %d %s", c[0], c[1], w.Code, got)
		}
	}
	if w := asked(Config{}, http.MethodGet, "/livez", stranger, "10.0.0.5:3000", false, nil); w.Code != http.StatusOK {
		t.Errorf("a balancer's check: %d %s", w.Code, w.Body)
	}
}

// HSTS for localhost would shut a developer out of all that serves plain HTTP there.
func TestTransport_NoHSTSForLocalhost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"localhost": accepted, "localhost:3000": accepted, "LOCALHOST:3000": accepted, "app.localhost": accepted, "localhost.:3000": accepted,
		"id.example": strictly, "localhost.example:443": strictly, "notlocalhost": strictly,
	} {
		w := asked(Config{}, http.MethodGet, "/me", stranger, host, true, nil)
		if got := fateOf(w); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

// Whoever sends a secret in clear has lost it; the operator is told so, without it, and not for each.
func TestTransport_WarnsOfASecretInClearOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	api := New(Config{PublicURL: "https://id.example", RequestTimeout: time.Minute, Log: slog.New(slog.NewJSONHandler(&log, nil))}, nil)
	ask := func(secret string) {
		r := httptest.NewRequest(http.MethodGet, "/me", nil)
		r.RemoteAddr = stranger
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		api.ServeHTTP(httptest.NewRecorder(), r)
	}
	const warning, secret = "came over plain HTTP", "s3cret-token"
	ask("")
	if strings.Contains(log.String(), warning) {
		t.Errorf("nothing was lost, and the log says %s", &log)
	}
	ask(secret)
	ask(secret)
	if n := strings.Count(log.String(), warning); n != 1 || strings.Contains(log.String(), secret) {
		t.Errorf("%d warnings in %s", n, &log)
	}
}
