package main

import (
	"fmt"
	"os"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/breach"
	"kindred/internal/config"
	"kindred/internal/password"
)

// choosingPasswords sets what an auth.Config says of passwords. It reads the blocklist.
func choosingPasswords(cfg config.PasswordConfig, into *auth.Config) error {
	list, err := readBlocklist(cfg.BlocklistFile)
	if err != nil {
		return fmt.Errorf("PASSWORD_BLOCKLIST_FILE: %w", err)
	}
	into.Passwords = account.PasswordPolicy{MinLength: cfg.MinLength, Blocklist: list}
	if cfg.HIBPURL != "" {
		into.Breached = breach.New(cfg.HIBPURL).Contains
	}
	return nil
}

// anyPassword lets all passwords pass.
func anyPassword(rules *auth.Config) { rules.Passwords, rules.Breached = account.AnyPassword(), nil }

func readBlocklist(name string) (*account.Blocklist, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return account.ReadBlocklist(file)
}

// newHasher makes the hasher that the settings ask for; with 0 slots it has one for each core.
func newHasher(cfg config.PasswordConfig, slots int) (*password.Hasher, error) {
	return password.New(password.Config{Slots: slots, Params: password.Params{
		MemoryKiB: uint32(cfg.Argon2MemoryKiB), Iterations: uint32(cfg.Argon2Iterations), Parallelism: uint8(cfg.Argon2Parallelism),
	}})
}
