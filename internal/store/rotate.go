package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kindred/internal/account"
)

// Rotation asks for one step of a family's chain: TokenID, if it is current, gets the child.
type Rotation struct {
	FamilyID  uuid.UUID
	TokenID   uuid.UUID
	TokenHash [32]byte
	ClientID  string
	ChildID   uuid.UUID
	ChildHash [32]byte
	Seal      []byte // the child, sealed to the token
	UserAgent string
	Address   netip.Addr

	IdleLifetime   time.Duration
	AccessLifetime time.Duration
}

// Grant is what tokens are issued from: times by the database's clock, and the user as it was then.
type Grant struct {
	FamilyID        uuid.UUID
	ClientID        string
	AuthTime        time.Time
	Generation      int64
	User            account.User // without its password hash
	Now             time.Time
	AccessExpiresAt time.Time
	IdleExpiresAt   time.Time
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, statement string, args ...any) (pgx.Rows, error)
}

// RotateFamily rotates if the token is current in every respect: family, client, hash, user, expiry.
// It is one statement, one round trip, one transaction, which it may share with rotations that arrive
// while others are under way. ok is false when anything did not hold, or when somebody else holds the
// family at the moment; the caller then locks and judges. Running it again after a lost answer is safe: the
// guard no longer matches.
func (s *Store) RotateFamily(ctx context.Context, r Rotation) (grant Grant, ok bool, err error) {
	grant, ok, err = s.groups.rotate(ctx, r)
	if err != nil {
		return Grant{}, false, fmt.Errorf("rotate family: %w", err)
	}
	return grant, ok, nil
}

// rotateAlone is a statement for one rotation.
func (s *Store) rotateAlone(ctx context.Context, r Rotation) (grant Grant, ok bool, err error) {
	s.rotating(1)
	once := func() error {
		return s.withConn(ctx, func(conn *pgxpool.Conn) (err error) {
			grant, ok, err = rotate(ctx, conn, r)
			return err
		})
	}
	err = once()
	if errors.Is(err, errNoPartition) { // somebody dropped it: the login had one
		if err = s.EnsurePartitions(ctx); err == nil {
			err = once()
		}
	}
	return grant, ok, err
}

// rotateTogether is a statement for several. The grants are by the ids of the children; a rotation that has
// none did not happen.
func (s *Store) rotateTogether(ctx context.Context, list []Rotation) (map[uuid.UUID]Grant, error) {
	s.rotating(len(list))
	return s.rotateBy(ctx, rotateStatement, list)
}

// rotateBy takes the statement, so that a benchmark can hold others against it.
func (s *Store) rotateBy(ctx context.Context, statement string, list []Rotation) (grants map[uuid.UUID]Grant, err error) {
	err = s.withConn(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, statement, rotateArguments(list)...)
		if err != nil {
			return err
		}
		grants = make(map[uuid.UUID]Grant, len(list))
		var child uuid.UUID
		var g Grant
		_, err = pgx.ForEachRow(rows, grantFields(&child, &g), func() error {
			grants[child] = g
			g = Grant{}
			return nil
		})
		return err
	})
	return grants, err
}

// RotateFamily is the same within a transaction that holds the family.
func (tx *Tx) RotateFamily(ctx context.Context, r Rotation) (grant Grant, ok bool, err error) {
	grant, ok, err = rotate(ctx, tx.tx, r)
	if err != nil {
		return Grant{}, false, fmt.Errorf("rotate family: %w", translate(err))
	}
	return grant, ok, nil
}

// rotateStatement takes arrays, so that one statement can carry many rotations.
//
// The locks come first, in the order of the ids, and pass over families that somebody holds: no
// rotation waits behind a neighbour's. The clock is read once for each family, after its lock.
const rotateStatement = `
	WITH r AS (
	    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::uuid[], $6::bytea[], $7::bytea[], $8::text[], $9::inet[])
	        AS r (family_id, token_id, token_hash, client_id, child_id, child_hash, seal, user_agent, address)
	), held AS MATERIALIZED (
	    SELECT id FROM token_families WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED
	), clocked AS MATERIALIZED (
	    SELECT id, clock_timestamp() AS now FROM held
	), rotated AS (
	    UPDATE token_families f
	       SET current_token_id = r.child_id, current_hash = r.child_hash, previous_token_id = r.token_id,
	           generation = f.generation + 1, rotated_at = c.now, successor_seal = r.seal,
	           idle_expires_at = least(c.now + $10::interval, f.expires_at),
	           access_until = greatest(f.access_until, least(c.now + $11::interval, f.expires_at)),
	           last_user_agent = r.user_agent, last_address = r.address
	      FROM clocked c, r, users u
	     WHERE f.id = c.id AND r.family_id = f.id
	       AND f.current_token_id = r.token_id AND f.current_hash = r.token_hash AND f.client_id = r.client_id
	       AND f.revoked_at IS NULL AND f.expires_at > c.now AND f.idle_expires_at > c.now
	       AND u.id = f.user_id AND u.disabled_at IS NULL AND u.deleted_at IS NULL
	    RETURNING f.id, f.client_id, f.auth_time, f.generation, f.expires_on, f.expires_at, f.idle_expires_at,
	              c.now, r.token_id, r.child_id, r.child_hash, r.user_agent, r.address,
	              u.id AS user_id, u.username, u.role, u.version, u.claims, u.created_at
	), appended AS (
	    INSERT INTO refresh_tokens (id, expires_on, family_id, parent_id, token_hash, generation, issued_at, expires_at, user_agent, address)
	    SELECT child_id, expires_on, id, token_id, child_hash, generation, now, idle_expires_at, user_agent, address FROM rotated
	)
	SELECT child_id, id, client_id, auth_time, generation, now, least(now + $11::interval, expires_at), idle_expires_at,
	       user_id, username, role, version, claims, created_at
	  FROM rotated`

func rotate(ctx context.Context, q querier, r Rotation) (grant Grant, ok bool, err error) {
	rows, err := q.Query(ctx, rotateStatement, rotateArguments([]Rotation{r})...)
	if err != nil {
		return Grant{}, false, err
	}
	var child uuid.UUID
	_, err = pgx.ForEachRow(rows, grantFields(&child, &grant), func() error {
		ok = true
		return nil
	})
	return grant, ok && err == nil, err
}

// rotateArguments are the parameters of rotateStatement. The lifetimes are the same for all.
func rotateArguments(list []Rotation) []any {
	var (
		families, tokens, children = make([]uuid.UUID, len(list)), make([]uuid.UUID, len(list)), make([]uuid.UUID, len(list))
		hashes, childHashes, seals = make([][]byte, len(list)), make([][]byte, len(list)), make([][]byte, len(list))
		clients, userAgents        = make([]string, len(list)), make([]string, len(list))
		addresses                  = make([]netip.Addr, len(list))
	)
	for i := range list {
		r := &list[i]
		families[i], tokens[i], hashes[i], clients[i] = r.FamilyID, r.TokenID, r.TokenHash[:], r.ClientID
		children[i], childHashes[i], seals[i] = r.ChildID, r.ChildHash[:], r.Seal
		userAgents[i], addresses[i] = r.UserAgent, r.Address
	}
	return []any{families, tokens, hashes, clients, children, childHashes, seals, userAgents, addresses, list[0].IdleLifetime, list[0].AccessLifetime}
}

// grantFields are the places that a row of rotateStatement is scanned into.
func grantFields(child *uuid.UUID, g *Grant) []any {
	return []any{child, &g.FamilyID, &g.ClientID, &g.AuthTime, &g.Generation, &g.Now, &g.AccessExpiresAt, &g.IdleExpiresAt,
		&g.User.ID, &g.User.Username, &g.User.Role, &g.User.Version, &g.User.Claims, &g.User.CreatedAt}
}
