package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"kindred/internal/config"
	"kindred/internal/httpapi"
)

// speakTLS lets the server show the certificate of the settings. Without one it speaks plain HTTP.
func (s *server) speakTLS(c config.TLSConfig) error {
	// What one connection of HTTP/2 can take up: a body is no longer than a stream's buffer.
	const streams, streamBuffer, connectionBuffer = 100, 64 << 10, 1 << 20
	if !c.Enabled() {
		return nil
	}
	certificate, err := httpapi.ReadCertificate(c.CertFile, c.KeyFile, s.log)
	if err != nil {
		return fmt.Errorf("TLS_CERT_FILE, TLS_KEY_FILE: %w", err)
	}
	s.certificate = certificate
	s.http.TLSConfig = certificate.TLS()
	s.http.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: streams, MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connectionBuffer,
	}
	return nil
}

// accept serves until the server is shut down, over TLS where it has a certificate.
func (s *server) accept(listener net.Listener) error {
	if s.certificate == nil {
		return s.http.Serve(listener)
	}
	return s.http.ServeTLS(listener, "", "")
}

// followCertificate sees when the certificate is renewed.
func (s *server) followCertificate(ctx context.Context) {
	const every = 5 * time.Second
	if s.certificate != nil {
		s.certificate.Follow(ctx, every)
	}
}
