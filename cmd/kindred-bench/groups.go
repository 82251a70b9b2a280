package main

import (
	"fmt"
	"runtime"
)

// group is loads that are held against each other. They are measured one right after the other, so that
// what disturbs the machine for a while disturbs all of them.
type group struct {
	loads  []load
	ratios []ratio
}

// ratio of two figures of one round.
type ratio struct{ name, figure, over string }

// groups are what a round measures. Neighbours are those whose ratio has a goal.
func (b *bench) groups() []group {
	return []group{{
		[]load{b.refreshes("refresh_http_1", 1, b.kindred), b.bareRefreshes(1)},
		[]ratio{
			{"refresh_http_over_bare_1", "refresh_http_1", "bare_refresh_1"},
			{"refresh_http_over_bare_1_p50", "refresh_http_1_p50", "bare_refresh_1_p50"},
		},
	}, {
		[]load{
			b.refreshesBesideLogins("refresh_beside_logins_1_slot", b.oneSlot),
			b.refreshesBesideLogins("refresh_beside_logins", b.kindred),
			b.refreshes("refresh_http_16", 16, b.kindred), b.bareRefreshes(16),
		},
		[]ratio{
			{"refresh_http_over_bare_16", "refresh_http_16", "bare_refresh_16"},
			{"beside_logins_over_quiet_p99", "refresh_beside_logins_p99", "refresh_http_16_p99"},
			{"beside_logins_over_quiet_1_slot_p99", "refresh_beside_logins_1_slot_p99", "refresh_http_16_p99"},
		},
	}, {
		[]load{
			b.refreshes("refresh_http_hs256_64", clients, b.hs256), b.refreshes("refresh_http_64", clients, b.kindred), b.bareRefreshes(clients),
		},
		[]ratio{
			{"refresh_http_over_bare_64", "refresh_http_64", "bare_refresh_64"},
			{"refresh_http_over_bare_64_p99", "refresh_http_64_p99", "bare_refresh_64_p99"},
			{"refresh_http_hs256_over_bare_64", "refresh_http_hs256_64", "bare_refresh_64"},
		},
	}, {
		[]load{
			requests("protected_http_64", clients, b.kindred, b.protected), requests("bare_http_64", clients, b.bare, b.protected),
			requests("verify_http_64", clients, b.kindred, b.verify),
		},
		[]ratio{
			{"protected_over_bare_http_64", "protected_http_64", "bare_http_64"},
			{"verify_over_bare_http_64", "verify_http_64", "bare_http_64"},
		},
	}, {
		[]load{
			b.logins("login_1_slot", 2*runtime.GOMAXPROCS(0), b.oneSlot), b.logins("login_http", 2*runtime.GOMAXPROCS(0), b.kindred),
			{name: "bare_argon2id", workers: runtime.GOMAXPROCS(0), begin: bareArgon2id},
		},
		[]ratio{
			{"login_over_bare_argon2id", "login_http", "bare_argon2id"},
			{"login_1_slot_over_bare_argon2id", "login_1_slot", "bare_argon2id"},
		},
	}}
}

func (b *bench) refreshes(name string, workers int, s *server) load {
	return requests(name, workers, s, b.refresh)
}

// refreshesBesideLogins has more clients log in than there is room for at the gate: the hashing never pauses.
func (b *bench) refreshesBesideLogins(name string, s *server) load {
	const refreshing, loggingIn = 16, 32
	l, beside := b.refreshes(name, refreshing, s), b.logins(name+"_login", loggingIn, s)
	l.beside = &beside
	return l
}

func (b *bench) logins(name string, workers int, s *server) load {
	return requests(name, workers, s, b.login)
}

func (b *bench) bareRefreshes(workers int) load {
	return load{name: fmt.Sprintf("bare_refresh_%d", workers), workers: workers, begin: b.bareRefresh}
}
