package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

const clientColumns = `id, name, type, secret_hash, may_introspect, created_at, disabled_at`

func scanClient(row pgx.Row) (account.Client, error) {
	var c account.Client
	var hash []byte
	err := row.Scan(&c.ID, &c.Name, &c.Type, &hash, &c.MayIntrospect, &c.CreatedAt, &c.DisabledAt)
	copy(c.SecretHash[:], hash)
	return c, translate(err)
}

const readClient = `SELECT ` + clientColumns + ` FROM clients WHERE id = $1`

// Client reads a client, disabled or not, without a lock. ErrNotFound if there is none of that id.
func (s *Store) Client(ctx context.Context, id string) (account.Client, error) {
	var client account.Client
	err := s.withConn(ctx, func(conn *pgxpool.Conn) (err error) {
		client, err = scanClient(conn.QueryRow(ctx, readClient, id))
		return err
	})
	if err != nil {
		return account.Client{}, fmt.Errorf("read client: %w", err)
	}
	return client, nil
}

// Client is the same within a transaction.
func (tx *Tx) Client(ctx context.Context, id string) (account.Client, error) {
	client, err := scanClient(tx.tx.QueryRow(ctx, readClient, id))
	if err != nil {
		return account.Client{}, fmt.Errorf("read client: %w", err)
	}
	return client, nil
}

// Clients lists all clients by their ids, disabled ones too.
func (s *Store) Clients(ctx context.Context) ([]account.Client, error) {
	const statement = `SELECT ` + clientColumns + ` FROM clients ORDER BY id`
	var list []account.Client
	err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, statement)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.Client, error) { return scanClient(row) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	return list, nil
}

// InsertClient creates a client with the database's time. ErrClientExists if there is one of that id.
func (tx *Tx) InsertClient(ctx context.Context, c account.Client) error {
	const statement = `
		INSERT INTO clients (id, name, type, secret_hash, may_introspect, created_at)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp())`
	var hash []byte
	if c.Type == account.ConfidentialClient {
		hash = c.SecretHash[:]
	}
	if _, err := tx.tx.Exec(ctx, statement, c.ID, c.Name, c.Type, hash, c.MayIntrospect); err != nil {
		return fmt.Errorf("insert client: %w", translate(err))
	}
	return nil
}

// ShareClient reads a client under a lock that keeps everybody from disabling it until the transaction
// ends, but lets other logins in. ErrNotFound if there is none.
func (tx *Tx) ShareClient(ctx context.Context, id string) (account.Client, error) {
	client, err := scanClient(tx.tx.QueryRow(ctx, readClient+` FOR SHARE`, id))
	if err != nil {
		return account.Client{}, fmt.Errorf("share client: %w", err)
	}
	return client, nil
}

// ReplaceClientSecret puts another secret in place of a confidential client's, which is of no use from
// then on. changed is false for any other client and for one that is disabled.
func (tx *Tx) ReplaceClientSecret(ctx context.Context, id string, hash [32]byte) (changed bool, err error) {
	const statement = `UPDATE clients SET secret_hash = $2 WHERE id = $1 AND type = 'confidential' AND disabled_at IS NULL`
	return tx.changeOne(ctx, "replace client secret", statement, id, hash[:])
}

// DisableClient ends a client for good, once the logins that share it are done. changed is false when
// it had ended before.
func (tx *Tx) DisableClient(ctx context.Context, id string) (changed bool, err error) {
	const statement = `UPDATE clients SET disabled_at = clock_timestamp() WHERE id = $1 AND disabled_at IS NULL`
	return tx.changeOne(ctx, "disable client", statement, id)
}
