package config_test

import (
	"strings"
	"testing"

	"kindred/internal/config"
)

func loadPasswords(environ ...string) (config.PasswordConfig, error) {
	return config.LoadPasswords(config.Source{Environ: environ})
}

func TestLoadPasswords_Defaults(t *testing.T) {
	t.Parallel()
	want := config.PasswordConfig{MinLength: 15, Argon2MemoryKiB: 19456, Argon2Iterations: 2, Argon2Parallelism: 1}
	if c, err := loadPasswords(); err != nil || c != want {
		t.Errorf("%+v, error %v", c, err)
	}
	if c, err := config.Load(config.Source{Environ: []string{"DATABASE_URL=postgres://x/y", "JWT_SECRET=" + strings.Repeat("ab", 16), "JWT_REFRESH_SECRET=" + strings.Repeat("cd", 16)}}); err != nil || c.Passwords != want {
		t.Errorf("serve: %+v, error %v", c.Passwords, err)
	}
}

// Bounds in both directions, and of memory and iterations together.
func TestLoadPasswords_Bounds(t *testing.T) {
	t.Parallel()
	for problem, environ := range map[string][]string{
		"PASSWORD_MIN_LENGTH must be a whole number from 8 to 64":                   {"PASSWORD_MIN_LENGTH=7"},
		"PASSWORD_MIN_LENGTH must be":                                               {"PASSWORD_MIN_LENGTH=65"},
		"PASSWORD_ARGON2_MEMORY must be at least 47104":                             {"PASSWORD_ARGON2_ITERATIONS=1"},
		"PASSWORD_ARGON2_MEMORY must be at least 19456":                             {"PASSWORD_ARGON2_MEMORY=19455"},
		"PASSWORD_ARGON2_MEMORY must be at least 12288":                             {"PASSWORD_ARGON2_MEMORY=12287", "PASSWORD_ARGON2_ITERATIONS=3"},
		"PASSWORD_ARGON2_MEMORY must be at least 9216":                              {"PASSWORD_ARGON2_MEMORY=9215", "PASSWORD_ARGON2_ITERATIONS=4"},
		"PASSWORD_ARGON2_MEMORY must be a whole number from 7168 to 1048576":        {"PASSWORD_ARGON2_MEMORY=7167", "PASSWORD_ARGON2_ITERATIONS=9"},
		"PASSWORD_ARGON2_MEMORY times PASSWORD_ARGON2_ITERATIONS must be 2097152":   {"PASSWORD_ARGON2_MEMORY=1048576", "PASSWORD_ARGON2_ITERATIONS=3"},
		"PASSWORD_ARGON2_ITERATIONS must be a whole number from 1 to 100":           {"PASSWORD_ARGON2_ITERATIONS=0"},
		"PASSWORD_ARGON2_PARALLELISM must be a whole number from 1 to 16":           {"PASSWORD_ARGON2_PARALLELISM=17"},
		"HIBP_URL must be http(s)://host, perhaps with a path, to which /range/ is": {"HIBP_URL=api.pwnedpasswords.com"},
		"HIBP_URL must be http(s)://host":                                           {"HIBP_URL=https://user:hunter2@host"},
		"HIBP_URL must be http(s)://host, ":                                         {"HIBP_URL=https://host/?api=1"},
	} {
		if _, err := loadPasswords(environ...); err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: error %v, want %q", environ, err, problem)
		}
	}
	for _, environ := range [][]string{
		{"PASSWORD_MIN_LENGTH=8"}, {"PASSWORD_ARGON2_MEMORY=7168", "PASSWORD_ARGON2_ITERATIONS=5"}, {"PASSWORD_ARGON2_MEMORY=1048576"},
		{"PASSWORD_ARGON2_MEMORY=47104", "PASSWORD_ARGON2_ITERATIONS=1"}, {"HIBP_URL=https://mirror.example:8443/pwned"}, {"PASSWORD_BLOCKLIST_FILE=/x"},
	} {
		if _, err := loadPasswords(environ...); err != nil {
			t.Errorf("%v: %v", environ, err)
		}
	}
}
