package config_test

import (
	"maps"
	"strings"
	"testing"

	"kindred/internal/config"
)

func TestLoad_TLS(t *testing.T) {
	t.Parallel()
	files := map[string]string{"TLS_CERT_FILE": "/etc/tls.crt", "TLS_KEY_FILE": "/etc/tls.key", "LISTEN_ADDR": ":443", "PORT": "443"}
	c := load(t, files)
	if !c.TLS.Enabled() || c.TLS.CertFile != "/etc/tls.crt" || c.TLS.KeyFile != "/etc/tls.key" || c.TLS.AllowPlaintext ||
		c.PublicURL != "https://localhost:443" || c.Audience != c.PublicURL {
		t.Errorf("loaded %+v, PUBLIC_URL %s, AUDIENCE %s", c.TLS, c.PublicURL, c.Audience)
	}
	files["PUBLIC_URL"] = "https://id.example"
	if c := load(t, files); c.PublicURL != "https://id.example" {
		t.Errorf("PUBLIC_URL %s", c.PublicURL)
	}
	for name, change := range map[string]map[string]string{
		"TLS_KEY_FILE is set, but TLS_CERT_FILE is not": {"TLS_CERT_FILE": ""},
		"TLS_CERT_FILE is set, but TLS_KEY_FILE is not": {"TLS_KEY_FILE": ""},
		"PUBLIC_URL must begin with https://":           {"PUBLIC_URL": "http://id.example"},
		"ALLOW_PLAINTEXT must be true or false":         {"ALLOW_PLAINTEXT": "yes"},
	} {
		values := complete()
		maps.Copy(values, files)
		maps.Copy(values, change)
		if _, err := config.Load(source(values)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: error %v", change, err)
		}
	}
}

// Beyond this machine nothing goes in clear by an oversight.
func TestLoad_PlainHTTPBeyondThisMachine(t *testing.T) {
	t.Parallel()
	waysOut := []map[string]string{
		{"TLS_CERT_FILE": "/etc/tls.crt", "TLS_KEY_FILE": "/etc/tls.key"}, {"TRUSTED_PROXIES": "10.0.0.0/8"}, {"ALLOW_PLAINTEXT": "true"},
	}
	for address, local := range map[string]bool{
		"127.0.0.1:3000": true, "127.8.8.8:3000": true, "[::1]:3000": true, "[::ffff:127.0.0.1]:3000": true, "localhost:3000": true, "LocalHost:0": true, "": true,
		":3000": false, "0.0.0.0:3000": false, "[::]:3000": false, "10.0.0.5:3000": false, "kindred.example:3000": false, "localhost.example:3000": false,
	} {
		values := complete()
		values["LISTEN_ADDR"] = address
		_, err := config.Load(source(values))
		if (err == nil) != local {
			t.Errorf("%s: error %v", address, err)
		}
		for _, out := range waysOut {
			for name := range out {
				if err != nil && !strings.Contains(err.Error(), name) {
					t.Errorf("%s is not named as a way out: %v", name, err)
				}
			}
			changed := maps.Clone(values)
			maps.Copy(changed, out)
			if _, err := config.Load(source(changed)); err != nil {
				t.Errorf("%s with %v: %v", address, out, err)
			}
		}
	}
}
