package httpapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pemPair is a certificate for 127.0.0.1, which is its own authority, and its key.
type pemPair struct {
	cert, key string
	serial    int64
}

func newPair(t *testing.T, serial int64, begins, ends time.Duration) pemPair {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(begins), NotAfter: time.Now().Add(ends), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	text := func(kind string, content []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
	}
	return pemPair{text("CERTIFICATE", cert), text("PRIVATE KEY", encoded), serial}
}

// certificateFiles are where a Certificate reads.
type certificateFiles struct{ cert, key string }

func newCertificateFiles(t *testing.T) certificateFiles {
	dir := t.TempDir()
	return certificateFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
}

func (f certificateFiles) write(t *testing.T, cert, key string) {
	t.Helper()
	for file, text := range map[string]string{f.cert: cert, f.key: key} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadCertificate_RefusesWhatNobodyWouldAccept(t *testing.T) {
	t.Parallel()
	good, other := newPair(t, 1, -time.Hour, time.Hour), newPair(t, 2, -time.Hour, time.Hour)
	expired, early := newPair(t, 3, -2*time.Hour, -time.Hour), newPair(t, 4, time.Hour, 2*time.Hour)
	for _, c := range []struct{ name, cert, key, want string }{
		{"another key", good.cert, other.key, "private key does not match public key"},
		{"expired", expired.cert, expired.key, "expired at"},
		{"not valid yet", early.cert, early.key, "not valid before"},
		{"no certificate", "nonsense", good.key, "certificate input"},
		{"no key", good.cert, "nonsense", "key input"},
		{"the key in both", good.key, good.key, "certificate input"},
	} {
		files := newCertificateFiles(t)
		files.write(t, c.cert, c.key)
		_, err := ReadCertificate(files.cert, files.key, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
	for _, c := range []struct{ name, cert, key, want string }{
		{"no certificate's file", "/nowhere", "/nowhere", "read certificate: no such file"},
		{"no key's file", "/dev/null", "/nowhere", "read key: no such file"},
		{"the key in place of its file", "/dev/null", good.key, "read key: "},
	} {
		_, err := ReadCertificate(c.cert, c.key, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), good.key[30:60]) {
			t.Errorf("%s: %v, want %q in it, and no key", c.name, err, c.want)
		}
	}
}

func TestCertificate_BadPairKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	old, next := newPair(t, 1, -time.Hour, time.Hour), newPair(t, 2, -time.Hour, time.Hour)
	expired := newPair(t, 3, -2*time.Hour, -time.Hour)
	for _, c := range []struct{ name, cert, key string }{
		{"half written", next.cert, old.key},
		{"the other half", old.cert, next.key},
		{"expired", expired.cert, expired.key},
		{"cut off", next.cert[:100], next.key},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			files := newCertificateFiles(t)
			files.write(t, old.cert, old.key)
			certificate, err := ReadCertificate(files.cert, files.key, slog.New(slog.NewJSONHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			want := func(p pemPair, warnings, healed int) {
				t.Helper()
				if got := certificate.shown.Load().Leaf; got == nil || got.SerialNumber.Int64() != p.serial {
					t.Errorf("%v is shown, want %d", got, p.serial)
				}
				warned, good := strings.Count(log.String(), `"level":"WARN"`), strings.Count(log.String(), "good again")
				if warned != warnings || good != healed || strings.Contains(log.String(), next.key[30:60]) {
					t.Errorf("%d warnings and %d times good again, want %d and %d:\n%s", warned, good, warnings, healed, &log)
				}
			}
			files.write(t, c.cert, c.key)
			certificate.look() // it may have come between two writes
			want(old, 0, 0)
			for range 3 {
				certificate.look()
			}
			want(old, 1, 0)
			files.write(t, next.cert, next.key)
			certificate.look()
			certificate.look()
			want(next, 1, 1)
			if n := strings.Count(log.String(), "another certificate is shown"); n != 1 {
				t.Errorf("a change was told %d times", n)
			}
		})
	}
}

// A link that is swapped, as Kubernetes renews a secret: neither the file's name nor its time need change.
func TestCertificate_FollowsASwappedLink(t *testing.T) {
	t.Parallel()
	old, next := newPair(t, 1, -time.Hour, time.Hour), newPair(t, 2, -time.Hour, time.Hour)
	dir, same := t.TempDir(), time.Now()
	for name, p := range map[string]pemPair{"..one": old, "..two": next} {
		files := certificateFiles{filepath.Join(dir, name, "tls.crt"), filepath.Join(dir, name, "tls.key")}
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		files.write(t, p.cert, p.key)
		for _, file := range []string{files.cert, files.key} {
			if err := os.Chtimes(file, same, same); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := filepath.Join(dir, "..data")
	if err := os.Symlink("..one", link); err != nil {
		t.Fatal(err)
	}
	certificate, err := ReadCertificate(filepath.Join(link, "tls.crt"), filepath.Join(link, "tls.key"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..two", link+"-new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+"-new", link); err != nil {
		t.Fatal(err)
	}
	certificate.look()
	if serial := certificate.shown.Load().Leaf.SerialNumber.Int64(); serial != next.serial {
		t.Errorf("%d is shown", serial)
	}
}

// Clients of three kinds go on asking while the certificate is renewed, file after file: no request is lost, and
// new connections get the new one.
func TestCertificate_RenewedUnderOpenConnectionsLosesNoRequest(t *testing.T) {
	t.Parallel()
	const renewals = 5
	roots := x509.NewCertPool()
	var pairs []pemPair
	for serial := range int64(renewals + 1) {
		pairs = append(pairs, newPair(t, serial, -time.Hour, time.Hour))
		roots.AppendCertsFromPEM([]byte(pairs[serial].cert))
	}
	files := newCertificateFiles(t)
	files.write(t, pairs[0].cert, pairs[0].key)
	certificate, err := ReadCertificate(files.cert, files.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	url, end := serveOver(t, certificate)
	defer func() { stop(); working.Wait(); end() }()
	working.Go(func() { certificate.Follow(ctx, time.Millisecond) })
	each := &asking{transport: &http.Transport{DisableKeepAlives: true}, proto: "HTTP/1.1"}
	kept := &asking{transport: &http.Transport{}, proto: "HTTP/1.1"}
	two := &asking{transport: &http.Transport{ForceAttemptHTTP2: true}, proto: "HTTP/2.0"}
	for _, client := range []*asking{each, kept, two} {
		client.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		t.Cleanup(client.transport.CloseIdleConnections)
		working.Go(func() { client.run(ctx, t, url) })
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !holds(); {
			if t.Failed() || time.Now().After(deadline) {
				t.Fatalf("%s: shown %d %d %d", what, each.shown.Load(), kept.shown.Load(), two.shown.Load())
			}
		}
	}
	until("all have begun", func() bool { return each.answers.Load() > 0 && kept.answers.Load() > 0 && two.answers.Load() > 0 })
	for _, p := range pairs[1:] {
		files.write(t, p.cert, p.key)
		until("a new connection gets the new certificate", func() bool { return each.shown.Load() == p.serial })
		before, beforeTwo := kept.answers.Load(), two.answers.Load()
		until("open connections go on", func() bool { return kept.answers.Load() > before && two.answers.Load() > beforeTwo })
	}
	if kept.shown.Load() != 0 || two.shown.Load() != 0 {
		t.Errorf("connections that were open began anew: %d %d", kept.shown.Load(), two.shown.Load())
	}
}

// serveOver answers with the protocol of the request, until end.
func serveOver(t *testing.T, certificate *Certificate) (url string, end func()) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }),
		TLSConfig: certificate.TLS(), ReadHeaderTimeout: time.Minute,
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(listener, "", "") })
	return "https://" + listener.Addr().String(), func() { server.Close(); serving.Wait() }
}

// asking is a client that asks until it is told to stop, and takes no failure.
type asking struct {
	transport *http.Transport
	proto     string
	shown     atomic.Int64 // the serial number of the certificate that it saw last
	answers   atomic.Int64
}

func (a *asking) run(ctx context.Context, t *testing.T, url string) {
	client := &http.Client{Transport: a.transport}
	for ctx.Err() == nil {
		response, err := client.Get(url)
		if err != nil {
			t.Errorf("%s: %v", a.proto, err)
			return
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(text) != a.proto {
			t.Errorf("answered %q, %v, want %s", text, err, a.proto)
			return
		}
		a.shown.Store(response.TLS.PeerCertificates[0].SerialNumber.Int64())
		a.answers.Add(1)
	}
}
