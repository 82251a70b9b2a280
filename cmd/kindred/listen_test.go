package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// certified is a certificate for this machine, in files.
func certified(t testing.TB) (c devCertificate, environ []string) {
	t.Helper()
	c, err := keepDevCertificate(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c, []string{"TLS_CERT_FILE=" + c.cert, "TLS_KEY_FILE=" + c.key, "PUBLIC_URL=https://id.example"}
}

// trusting is what a client needs to believe the certificate.
func (c devCertificate) trusting(t testing.TB) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(c.authority)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("the authority is no certificate")
	}
	return &tls.Config{RootCAs: roots}
}

// renew puts another certificate of the same authority in place.
func (c devCertificate) renew(t testing.TB) {
	t.Helper()
	a, err := loadAuthority(c.authority, c.authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := a.sign(time.Now(), []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := writePair(c.cert, c.key, cert, key); err != nil {
		t.Fatal(err)
	}
}

// A process that speaks TLS: with HTTP/2, no old protocol, and no answer to plain HTTP. It takes up a renewed
// certificate, and connections that are open go on.
func TestServe_SpeaksTLS(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	certificate, environ := certified(t)
	s := startServing(t, serveEnvironment(db.URL(), environ...))
	address := strings.TrimPrefix(s.url, "http://")
	transport := &http.Transport{TLSClientConfig: certificate.trusting(t), ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	ask := func(url, body string) (*http.Response, string) { return postThrough(t, transport, url, body) }
	const login = `{"username":"user1","password":"password123"}`
	response, body := ask("https://"+address+"/login", login)
	if response.StatusCode != http.StatusOK || response.Proto != "HTTP/2.0" || response.TLS.Version != tls.VersionTLS13 || response.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%d over %s, TLS %x, %v: %s", response.StatusCode, response.Proto, response.TLS.Version, response.Header, body)
	}
	if response, body := ask("http://"+address+"/login", login); response.StatusCode != http.StatusBadRequest || strings.Contains(body, "accessToken") || response.Header.Get("Location") != "" {
		t.Errorf("plain HTTP: %d %s", response.StatusCode, body)
	}
	for version, accepted := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true} {
		old := certificate.trusting(t)
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, version
		conn, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != accepted {
			t.Errorf("TLS %x: %v", version, err)
		}
	}
	began := response.TLS.PeerCertificates[0]
	certificate.renew(t)
	s.logs.await(t, `(another certificate is shown)`)
	if response, body := ask("https://"+address+"/login", login); response.StatusCode != http.StatusOK || !response.TLS.PeerCertificates[0].Equal(began) {
		t.Errorf("an open connection: %d %s", response.StatusCode, body)
	}
	transport.CloseIdleConnections()
	if response, body := ask("https://"+address+"/login", login); response.StatusCode != http.StatusOK || response.TLS.PeerCertificates[0].Equal(began) {
		t.Errorf("a new connection: %d %s, or the certificate from before", response.StatusCode, body)
	}
	if strings.Contains(s.logs.String(), "PRIVATE KEY") {
		t.Error("the key is in the log")
	}
	s.terminate(t)
	s.stopped(t)
}

// postThrough posts JSON on a connection of the transport's, by the name id.example.
func postThrough(t testing.TB, transport *http.Transport, url, body string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Host = "id.example"
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// What one client can make the server hold: 100 streams, and no more in a stream's buffer than a body may have.
func TestServe_BoundsHTTP2(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	certificate, environ := certified(t)
	s := startServing(t, serveEnvironment(db.URL(), environ...))
	config := certificate.trusting(t)
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	// RFC 9113 §3.4: the preface and empty SETTINGS; the server's first frame is its own.
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("first frame %x, %v", head, err)
	}
	payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, payload); err != nil {
		t.Fatal(err)
	}
	settings := map[int]int{}
	for ; len(payload) >= 6; payload = payload[6:] {
		settings[int(payload[0])<<8|int(payload[1])] = int(payload[2])<<24 | int(payload[3])<<16 | int(payload[4])<<8 | int(payload[5])
	}
	const maxConcurrentStreams, initialWindowSize = 3, 4 // RFC 9113 §6.5.2
	if settings[maxConcurrentStreams] != 100 || settings[initialWindowSize] != 64<<10 {
		t.Errorf("settings %v", settings)
	}
}

func TestServe_RefusesACertificateThatIsNoGood(t *testing.T) {
	t.Parallel()
	c, _ := certified(t)
	other, _ := certified(t)
	old, err := keepDevCertificate(t.TempDir(), time.Now().Add(-2*devLeafLife))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(c.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, cert, key, want string }{
		{"unreadable", c.cert, filepath.Join(t.TempDir(), "none"), "read key: no such file"},
		{"of another", c.cert, other.key, "private key does not match public key"},
		{"expired", old.cert, old.key, "certificate expired at"},
		{"the key in place of its file's name", c.cert, strings.ReplaceAll(string(key), "\n", " "), "read key: "},
	} {
		environ := serveEnvironment("postgres://127.0.0.1:1/none", "PUBLIC_URL=https://id.example", "TLS_CERT_FILE="+tc.cert, "TLS_KEY_FILE="+tc.key)
		_, stderr, code := run(t, "", environ, "serve")
		if code != exitFailed || !strings.Contains(stderr, "TLS_KEY_FILE") || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "PRIVATE KEY") {
			t.Errorf("%s: exit code %d, %s", tc.name, code, stderr)
		}
	}
}

// On an address beyond this machine plain HTTP wants a reason, and the refusal names all that there are.
func TestServe_RefusesPlainHTTPBeyondThisMachine(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	_, stderr, code := run(t, "", serveEnvironment(db.URL(), "LISTEN_ADDR=0.0.0.0:0"), "serve")
	for _, part := range []string{"LISTEN_ADDR", "TLS_CERT_FILE", "TRUSTED_PROXIES", "ALLOW_PLAINTEXT=true"} {
		if code != exitFailed || !strings.Contains(stderr, part) {
			t.Errorf("exit code %d, no %s in %s", code, part, stderr)
		}
	}
	for reason, status := range map[string]int{"ALLOW_PLAINTEXT=true": http.StatusUnauthorized, "ALLOW_PLAINTEXT=false": http.StatusBadRequest} {
		s := startServing(t, serveEnvironment(db.URL(), "LISTEN_ADDR=0.0.0.0:0", "TRUSTED_PROXIES=127.0.0.1,::1", reason))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Forwarded-Proto", "http")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("%s: status %d, want %d", reason, response.StatusCode, status)
		}
	}
}

// The authority outlives the certificates that it signs: who trusts it need not do so again.
func TestDevCertificate_IsKeptAndRenewedInTime(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	read := func(at time.Time) (authority, cert string) {
		t.Helper()
		c, err := keepDevCertificate(dir, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{c.authority, c.authorityKey, c.cert, c.key} {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: c.trusting(t).RootCAs, DNSName: name, CurrentTime: at.Add(24 * time.Hour)}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		text, err := os.ReadFile(c.authority)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), string(pair.Certificate[0])
	}
	authority, cert := read(now)
	if a, c := read(now.Add(devLeafLife - devLeafRenew - 24*time.Hour)); a != authority || c != cert {
		t.Error("it was not kept")
	}
	later := now.Add(devLeafLife - devLeafRenew)
	if a, c := read(later); a != authority || c == cert {
		t.Error("the certificate was not renewed, or the authority was")
	}
	later = now.Add(authorityLife - devLeafLife)
	if a, _ := read(later); a == authority {
		t.Error("the authority was not renewed")
	}
	if err := os.WriteFile(filepath.Join(dir, ".kindred", "tls", "server.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	read(later)
}

// Whoever gets the authority's key can pass for localhost, and for nobody else.
func TestDevCertificate_AuthorityCanSpeakForThisMachineOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for name, accepted := range map[string]bool{"localhost": true, "id.example": false, "127.0.0.1": true, "192.0.2.1": false} {
		var names []string
		var addresses []net.IP
		if ip := net.ParseIP(name); ip != nil {
			addresses = append(addresses, ip)
		} else {
			names = append(names, name)
		}
		raw, _, err := a.sign(now, names, addresses)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != accepted {
			t.Errorf("%s: %v", name, err)
		}
	}
}
