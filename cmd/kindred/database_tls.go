package main

import (
	"log/slog"

	"kindred/internal/config"
	"kindred/internal/store"
)

// warnOfUnverified tells an operator once which servers of PostgreSQL anybody on the way could pass for.
func warnOfUnverified(log *slog.Logger, c config.Config) {
	const advice = "the way to the database is not verified: whoever stands in between can read and change all of it; sslmode=verify-full helps"
	for name, hosts := range unverifiedWays(c) {
		log.Warn(advice, "setting", name, "hosts", hosts)
	}
}

// unverifiedWays are the hosts by the setting that leads there.
func unverifiedWays(c config.Config) map[string][]string {
	ways := map[string][]string{}
	for name, url := range map[string]config.Secret{"DATABASE_URL": c.DatabaseURL, "REVOCATION_LISTEN_URL": c.RevocationListenURL} {
		if name == "REVOCATION_LISTEN_URL" && url == c.DatabaseURL {
			continue
		}
		if hosts, err := store.Unverified(url.Reveal()); err == nil && len(hosts) > 0 {
			ways[name] = hosts
		}
	}
	return ways
}
