package httpapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// Certificate is what the server shows to its clients. It is read from two files, and again when they change;
// a pair that is no good never takes the place of one that was.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	shown             atomic.Pointer[tls.Certificate]
	failures          int // readings in a row that failed
}

// ReadCertificate reads a certificate with its chain, and its key, both in PEM. They must belong together, and
// the certificate must be valid now. The error says which is wrong, and nothing of what is in the files.
func ReadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	pair, err := readPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.shown.Store(pair)
	return c, nil
}

// Leaf is the certificate itself, without its chain.
func (c *Certificate) Leaf() *x509.Certificate { return c.shown.Load().Leaf }

// TLS is a configuration that shows the certificate: TLS 1.2 at least, Go's choice of suites.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.shown.Load(), nil },
	}
}

// Follow reads the files time and again until ctx ends. It looks at what is in them: a link that is swapped, as
// Kubernetes does it, changes no time and no name.
func (c *Certificate) Follow(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look()
		}
	}
}

// look reads once. Connections that are open keep the certificate that they began with. What is wrong is said
// once, at the second reading: the first may have fallen between the writing of the two files.
func (c *Certificate) look() {
	const patience = 2
	pair, err := readPair(c.certFile, c.keyFile)
	if err != nil {
		c.failures++
		if c.failures == patience {
			c.log.Warn("the certificate's files are no good, and the one that was read before stays", "error", err)
		}
		return
	}
	if c.failures >= patience {
		c.log.Info("the certificate's files are good again")
	}
	c.failures = 0
	if !slices.EqualFunc(pair.Certificate, c.shown.Load().Certificate, slices.Equal[[]byte]) {
		c.shown.Store(pair)
		c.log.Info("another certificate is shown", "not_after", pair.Leaf.NotAfter)
	}
}

func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	chain, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", withoutPath(err))
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", withoutPath(err))
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("match certificate and key: %w", err)
	}
	now := time.Now()
	switch {
	case now.Before(pair.Leaf.NotBefore):
		return nil, fmt.Errorf("certificate is not valid before %s", pair.Leaf.NotBefore.Format(time.RFC3339))
	case now.After(pair.Leaf.NotAfter):
		return nil, fmt.Errorf("certificate expired at %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &pair, nil
}

// withoutPath leaves the name of a file out of an error: it may be the key itself, put where its file's name
// belongs.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
