package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife = 5 * 365 * 24 * time.Hour
	devLeafLife   = 90 * 24 * time.Hour
	devLeafRenew  = 30 * 24 * time.Hour // before its end
)

// devCertificate names the files of `kindred dev --tls`, all in .kindred/tls. The zero value is none.
type devCertificate struct {
	authority, authorityKey string
	cert, key               string
}

// keepDevCertificate makes a certificate for this machine's own names, signed by an authority of this project
// folder's own. Both are kept between runs and renewed in time, so that who trusts the authority need do so once
// in years. What is damaged is made anew. Nothing outside of the folder is touched: whom this machine trusts is
// its owner's to say.
func keepDevCertificate(dir string, now time.Time) (devCertificate, error) {
	folder := filepath.Join(dir, ".kindred", "tls")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return devCertificate{}, fmt.Errorf("make the folder for certificates: %w", err)
	}
	c := devCertificate{
		authority: filepath.Join(folder, "authority.pem"), authorityKey: filepath.Join(folder, "authority.key"),
		cert: filepath.Join(folder, "server.pem"), key: filepath.Join(folder, "server.key"),
	}
	a, err := loadAuthority(c.authority, c.authorityKey)
	if err != nil || a.cert.NotAfter.Before(now.Add(devLeafLife)) {
		if a, err = newAuthority(now); err != nil {
			return devCertificate{}, err
		}
		if err := writePair(c.authority, c.authorityKey, a.cert.Raw, a.key); err != nil {
			return devCertificate{}, err
		}
	}
	if a.stillGood(c.cert, c.key, now) {
		return c, nil
	}
	leaf, key, err := a.sign(now, []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback})
	if err != nil {
		return devCertificate{}, err
	}
	return c, writePair(c.cert, c.key, leaf, key)
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newAuthority makes one that can speak for this machine's own names and nobody else's (RFC 5280 §4.2.1.10): who
// trusts it, and loses its key, loses nothing else.
func newAuthority(now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Kindred development, this machine only"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}, {IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, fmt.Errorf("make a certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return authority{}, fmt.Errorf("make a certificate authority: %w", err)
	}
	return authority{cert, key}, nil
}

func loadAuthority(cert, key string) (authority, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return authority{}, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return authority{}, errors.New("no certificate authority")
	}
	return authority{pair.Leaf, signer}, nil
}

// sign makes a server's certificate.
func (a authority) sign(now time.Time, names []string, addresses []net.IP) (cert []byte, key crypto.Signer, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(devLeafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: names, IPAddresses: addresses,
	}
	cert, err = x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return cert, key, nil
}

// stillGood tells whether a pair of files is from this authority and holds for a while.
func (a authority) stillGood(cert, key string, now time.Time) bool {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost", CurrentTime: now.Add(devLeafRenew)})
	return err == nil
}

// writePair writes a certificate and its key for their owner only, each as a whole or not at all.
func writePair(certFile, keyFile string, cert []byte, key crypto.Signer) error {
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	return errors.Join(writePEM(keyFile, "PRIVATE KEY", encoded), writePEM(certFile, "CERTIFICATE", cert))
}

func writePEM(file, kind string, content []byte) error {
	unfinished, err := os.CreateTemp(filepath.Dir(file), ".unfinished-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), err)
	}
	err = errors.Join(pem.Encode(unfinished, &pem.Block{Type: kind, Bytes: content}), unfinished.Sync(), unfinished.Close())
	if err == nil {
		err = os.Rename(unfinished.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(file), err), os.Remove(unfinished.Name()))
	}
	return nil
}
