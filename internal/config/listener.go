package config

// Listener is where `serve` listens, and by which files it speaks TLS there.
type Listener struct {
	Address           string
	CertFile, KeyFile string // empty: it speaks plain HTTP
}

// LoadListener reads it for the commands that look at a server from outside.
func LoadListener(source Source) (Listener, error) {
	r := newReader(source)
	l := Listener{Address: r.listenAddress(r.integer(port, 3000, 1, 65535)), CertFile: r.text("TLS_CERT_FILE", ""), KeyFile: r.text("TLS_KEY_FILE", "")}
	return l, r.err()
}
