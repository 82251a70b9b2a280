package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kindred/internal/config"
	"kindred/internal/store"
)

// openStore opens DATABASE_URL for a command that needs nothing else.
func openStore(p process) (*store.Store, error) { return openStoreFor(p, time.Hour) }

// openStoreFor opens it for one that makes partitions for families of such a lifetime.
func openStoreFor(p process, lifetime time.Duration) (*store.Store, error) {
	url, pooled, err := config.LoadDatabase(p.settings())
	if err != nil {
		return nil, err
	}
	st, err := store.Open(store.Config{
		URL: url.Reveal(), Pooled: pooled, MaxConns: 2, RequestTimeout: 10 * time.Second, MaxLifetime: lifetime,
	})
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return st, nil
}

// withDatabaseURL makes a command's body of a function that needs the address of the database.
func withDatabaseURL(p process, do func(ctx context.Context, url string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		url, _, err := config.LoadDatabase(p.settings())
		if err != nil {
			return err
		}
		return do(cmd.Context(), url.Reveal())
	}
}
