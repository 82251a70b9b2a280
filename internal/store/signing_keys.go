package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SigningKey is a row of signing_keys. Its times are the database's.
type SigningKey struct {
	ID          string
	Algorithm   string
	PrivateKey  []byte // encrypted
	PublishedAt time.Time
	SignFrom    time.Time
	RetiredAt   *time.Time
	RevokedAt   *time.Time
}

// KeyAfterlife is how long a key verifies once its successor has begun to sign: as long as the last token
// that it signed may be believed, whatever lifetime the replicas give them.
const KeyAfterlife = MaxAccessLifetime + afterlife

// keysDigest changes when a key does, and at the moment when one is to be gone since its successor has signed
// for KeyAfterlife, which is $3.
const keysDigest = `(SELECT md5(string_agg(concat_ws(' ', id, sign_from, retired_at, revoked_at, sign_from + $3::interval <= clock_timestamp()), ',' ORDER BY id))
	  FROM signing_keys)`

const signingKeyColumns = `id, algorithm, private_key, published_at, sign_from, retired_at, revoked_at`

func scanSigningKey(row pgx.CollectableRow) (SigningKey, error) {
	var k SigningKey
	err := row.Scan(&k.ID, &k.Algorithm, &k.PrivateKey, &k.PublishedAt, &k.SignFrom, &k.RetiredAt, &k.RevokedAt)
	return k, err
}

// SigningKeys reads all keys, those that have ended too, the one that signs last at the end, and the
// database's clock.
func (s *Store) SigningKeys(ctx context.Context) (keys []SigningKey, now time.Time, err error) {
	const statement = `SELECT ` + signingKeyColumns + ` FROM signing_keys ORDER BY sign_from, id`
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, statement)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, scanSigningKey)
		return err
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read signing keys: %w", err)
	}
	return keys, now, nil
}

// LockSigningKeys reads all keys; nobody else changes one until the transaction ends.
func (tx *Tx) LockSigningKeys(ctx context.Context) ([]SigningKey, error) {
	// The table, and not its rows: two replicas that find it empty must not both make a first key.
	if _, err := tx.tx.Exec(ctx, `LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return nil, fmt.Errorf("lock signing keys: %w", translate(err))
	}
	rows, err := tx.tx.Query(ctx, `SELECT `+signingKeyColumns+` FROM signing_keys ORDER BY sign_from, id`)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", translate(err))
	}
	keys, err := pgx.CollectRows(rows, scanSigningKey)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", translate(err))
	}
	return keys, nil
}

// PublishSigningKey adds a key that signs after a wait, which may be 0.
func (tx *Tx) PublishSigningKey(ctx context.Context, id, algorithm string, privateKey []byte, wait time.Duration) error {
	const statement = `
		INSERT INTO signing_keys (id, algorithm, private_key, published_at, sign_from)
		SELECT $1, $2, $3, t.now, t.now + $4::interval FROM (SELECT clock_timestamp() AS now) AS t`
	if _, err := tx.tx.Exec(ctx, statement, id, algorithm, privateKey, wait); err != nil {
		return fmt.Errorf("publish signing key: %w", translate(err))
	}
	return nil
}

// RetireSigningKey ends a key. changed is false if it had been ended.
func (tx *Tx) RetireSigningKey(ctx context.Context, id string) (changed bool, err error) {
	const statement = `UPDATE signing_keys SET retired_at = clock_timestamp() WHERE id = $1 AND retired_at IS NULL AND revoked_at IS NULL`
	return tx.changeOne(ctx, "retire signing key", statement, id)
}

// RevokeSigningKey ends a key that others may have. changed is false if it had been revoked.
func (tx *Tx) RevokeSigningKey(ctx context.Context, id string) (changed bool, err error) {
	const statement = `UPDATE signing_keys SET revoked_at = clock_timestamp() WHERE id = $1 AND revoked_at IS NULL`
	return tx.changeOne(ctx, "revoke signing key", statement, id)
}

// ReencryptSigningKey replaces the encrypted form of a private key.
func (tx *Tx) ReencryptSigningKey(ctx context.Context, id string, privateKey []byte) error {
	const statement = `UPDATE signing_keys SET private_key = $2 WHERE id = $1`
	_, err := tx.changeOne(ctx, "re-encrypt signing key", statement, id, privateKey)
	return err
}
