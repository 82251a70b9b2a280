package config

import (
	"fmt"
	"net/url"
)

// PasswordConfig says which passwords may be chosen, and what their hashes cost.
type PasswordConfig struct {
	MinLength     int    // in code points
	BlocklistFile string // empty: none
	HIBPURL       string // of a Have I Been Pwned range service; empty: none is asked

	Argon2MemoryKiB   int
	Argon2Iterations  int
	Argon2Parallelism int
}

func passwordSettings() []Setting {
	return []Setting{
		{Name: passwordMinLength, Default: "15", Description: "characters that a password has at least when it is chosen; 8 to 64"},
		{Name: passwordBlocklistFile, Description: "file of [passwords that nobody may choose](docs/passwords.md#what-may-be-chosen), one a line"},
		{Name: hibpURL, Description: "a Have I Been Pwned range service, such as `https://api.pwnedpasswords.com`: passwords of a breach are refused"},
		{Name: argon2Memory, Default: "19456", Description: "KiB that one password's hash takes (argon2id); [not too little for the iterations](docs/passwords.md#what-a-hash-costs)"},
		{Name: argon2Iterations, Default: "2", Description: "passes over that memory; 1 to 100"},
		{Name: argon2Parallelism, Default: "1", Description: "lanes of a hash; 1 to 16"},
	}
}

const (
	passwordMinLength     = "PASSWORD_MIN_LENGTH"
	passwordBlocklistFile = "PASSWORD_BLOCKLIST_FILE"
	hibpURL               = "HIBP_URL"
	argon2Memory          = "PASSWORD_ARGON2_MEMORY"
	argon2Iterations      = "PASSWORD_ARGON2_ITERATIONS"
	argon2Parallelism     = "PASSWORD_ARGON2_PARALLELISM"
)

// LoadPasswords reads the settings of the commands that take a password.
func LoadPasswords(source Source) (PasswordConfig, error) {
	r := newReader(source)
	c := r.passwords()
	return c, r.err()
}

func (r *reader) passwords() PasswordConfig {
	c := PasswordConfig{
		MinLength:         r.integer(passwordMinLength, 15, 8, 64),
		BlocklistFile:     r.text(passwordBlocklistFile, ""),
		HIBPURL:           r.text(hibpURL, ""),
		Argon2MemoryKiB:   r.integer(argon2Memory, 19456, 7168, 1<<20),
		Argon2Iterations:  r.integer(argon2Iterations, 2, 1, 100),
		Argon2Parallelism: r.integer(argon2Parallelism, 1, 1, 16),
	}
	if u, err := url.Parse(c.HIBPURL); c.HIBPURL != "" &&
		(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		r.problem(hibpURL, "must be http(s)://host, perhaps with a path, to which /range/ is added")
	}
	if !r.bad[argon2Memory] && !r.bad[argon2Iterations] {
		r.checkArgon2(c)
	}
	return c
}

// checkArgon2 holds memory and iterations against each other: below the pairs that the OWASP Password Storage
// Cheat Sheet calls equally strong, guessing gets cheap; above two seconds or so a login does not end in time.
func (r *reader) checkArgon2(c PasswordConfig) {
	const mostPassesKiB = 2 << 20
	least := []int{47104, 19456, 12288, 9216, 7168}[min(c.Argon2Iterations, 5)-1]
	if c.Argon2MemoryKiB < least {
		r.problem(argon2Memory, fmt.Sprintf("must be at least %d with %s=%d", least, argon2Iterations, c.Argon2Iterations))
	}
	if c.Argon2MemoryKiB*c.Argon2Iterations > mostPassesKiB {
		r.problem(argon2Memory, fmt.Sprintf("times %s must be %d at most: a hash would take seconds", argon2Iterations, mostPassesKiB))
	}
}
