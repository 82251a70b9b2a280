package config

// LoadHealthcheck reads where `serve` listens, and whether it speaks TLS there.
func LoadHealthcheck(source Source) (address string, overTLS bool, err error) {
	r := newReader(source)
	address = r.listenAddress(r.integer(port, 3000, 1, 65535))
	return address, r.text("TLS_CERT_FILE", "") != "", r.err()
}
