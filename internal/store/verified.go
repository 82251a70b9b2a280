package store

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Unverified names the hosts of an address that lie on a net and need not prove who they are: whoever can
// stand in between reads and changes what goes there. sslmode=verify-full is what makes them.
func Unverified(url string) (hosts []string, err error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	seen := map[string]bool{}
	look := func(host string, config *tls.Config) {
		if !seen[host] && !onThisMachine(host) && (config == nil || config.InsecureSkipVerify) {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	look(pc.ConnConfig.Host, pc.ConnConfig.TLSConfig)
	for _, other := range pc.ConnConfig.Fallbacks {
		look(other.Host, other.TLSConfig)
	}
	return hosts, nil
}

// onThisMachine: a socket, whose name is a path, or loopback.
func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return filepath.IsAbs(host) || strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}
