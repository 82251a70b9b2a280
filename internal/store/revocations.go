package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// RevocationKind says what a revocation is about.
type RevocationKind string

const (
	RevokedFamily RevocationKind = "family" // all access tokens of a family
	RevokedToken  RevocationKind = "token"  // one access token, by its jti
	RevokedUser   RevocationKind = "user"   // a user's access tokens below a version
	RevokedAll    RevocationKind = "all"    // every access token issued before an instant
)

// Revocation is a row of the blacklist: access tokens that are not to be believed any more.
type Revocation struct {
	Kind    RevocationKind
	Subject uuid.UUID // the family, the token or the user; Nil for all
	Below   int64     // of a user
	Before  time.Time // of all
	Until   time.Time // by the database's clock; no such token lives longer
}

const (
	// MaxAccessLifetime is the longest that an access token may live, by the settings.
	MaxAccessLifetime = 24 * time.Hour
	// afterlife is how long a token may be believed beyond its expiry, by the leeway of verifiers, and
	// how late it may be signed after the transaction that granted it: a minute each.
	afterlife = 2 * time.Minute
	// maxTokensOfFamily is how many single access tokens of a family are listed before the family
	// itself is revoked: whoever holds one must not be able to fill every replica's memory.
	maxTokensOfFamily = 16
)

const revocationColumns = `kind, subject, below, before, until`

// nullableRevocation is what revocationColumns are scanned into.
type nullableRevocation struct {
	kind    RevocationKind
	subject uuid.NullUUID
	below   *int64
	before  *time.Time
	until   time.Time
}

func (n *nullableRevocation) fields() []any {
	return []any{&n.kind, &n.subject, &n.below, &n.before, &n.until}
}

func (n *nullableRevocation) revocation() Revocation {
	r := Revocation{Kind: n.kind, Subject: n.subject.UUID, Until: n.until}
	if n.below != nil {
		r.Below = *n.below
	}
	if n.before != nil {
		r.Before = *n.before
	}
	return r
}

// list runs a statement that writes revocations and returns their columns, and keeps them for Revoked.
func (tx *Tx) list(ctx context.Context, what, statement string, args ...any) ([]Revocation, error) {
	rows, err := tx.tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, translate(err))
	}
	written, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Revocation, error) {
		var n nullableRevocation
		err := row.Scan(n.fields()...)
		return n.revocation(), err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, translate(err))
	}
	tx.revoked = append(tx.revoked, written...)
	return written, nil
}

// Revoked lists what the transaction has put on the blacklist so far. It counts once it commits.
func (tx *Tx) Revoked() []Revocation { return tx.revoked }

// RevokeToken puts one access token of a family on the blacklist until it can live no longer; once is
// enough. When it would be one too many of its family, full is true, nothing is written, and the family
// is to be revoked instead. The caller holds the family.
func (tx *Tx) RevokeToken(ctx context.Context, familyID, tokenID uuid.UUID, expires time.Time) (full bool, err error) {
	const look = `SELECT count(*), coalesce(bool_or(subject = $2), false) FROM revocations WHERE kind = 'token' AND family_id = $1`
	const write = `
		INSERT INTO revocations (kind, subject, family_id, until) VALUES ('token', $2, $1, $3::timestamptz + $4::interval)
		RETURNING ` + revocationColumns
	var listed int
	var there bool
	if err := tx.tx.QueryRow(ctx, look, familyID, tokenID).Scan(&listed, &there); err != nil {
		return false, fmt.Errorf("count revoked tokens: %w", translate(err))
	}
	if there || listed >= maxTokensOfFamily {
		return !there, nil
	}
	_, err = tx.list(ctx, "revoke token", write, familyID, tokenID, expires, afterlife)
	return false, err
}

const purgeRevocations = `
	DELETE FROM revocations WHERE id IN (SELECT id FROM revocations WHERE until < (SELECT clock_timestamp()) LIMIT $1)`

// PurgeRevocations deletes what is of no use any more, in batches that hold nobody up.
func (s *Store) PurgeRevocations(ctx context.Context) error {
	const batch = 1000
	for {
		var deleted int64
		err := s.withConn(ctx, func(conn *pgxpool.Conn) error {
			tag, err := conn.Exec(ctx, purgeRevocations, batch)
			deleted = tag.RowsAffected()
			return err
		})
		if err != nil {
			return fmt.Errorf("purge revocations: %w", err)
		}
		if deleted < batch {
			return nil
		}
	}
}
