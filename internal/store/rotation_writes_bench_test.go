package store_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kindred/internal/family"
	"kindred/internal/store"
	"kindred/internal/testdb"
)

const (
	browser  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
	sealSize = 220 // of a refresh token, with nonce and tag
)

// BenchmarkRotateFamily_WhatItWrites tells what a rotation takes of the log and of the disk. A page that is
// changed for the first time since a checkpoint goes to the log as a whole: so with a checkpoint every twelfth of
// the rotations of all families (five minutes, where each is refreshed once an hour), with one for all, and with none.
// It takes -benchtime 1x; TEST_DATABASE_URL names a server with the settings to be measured.
func BenchmarkRotateFamily_WhatItWrites(b *testing.B) {
	const families = 100_000
	db := testdb.New(b)
	st := open(b, db, nil)
	list := manyFamilies(b, db, st, families)
	conn := db.Conn(b)
	sizeOfFamilies := func(when string) {
		b.ReportMetric(one(b, conn, `SELECT pg_total_relation_size('token_families')::float / $1`, families), "B/family-"+when)
	}
	for b.Loop() {
		sizeOfFamilies("at-first")
		for i, unit := range []string{"log-B/rotation-checkpoint-of-12th", "log-B/rotation-checkpoint-of-all", "log-B/rotation-no-checkpoint"} {
			if i < 2 {
				if _, err := conn.Exec(b.Context(), `CHECKPOINT`); err != nil {
					b.Fatal(err)
				}
			}
			some := list
			if i == 0 {
				some = list[:families/12]
			}
			b.ReportMetric(rotateEach(b, conn, st, some), unit)
		}
		sizeOfFamilies("rotated")
		b.ReportMetric(one(b, conn, `
			SELECT sum(pg_total_relation_size(relid))::float / (SELECT count(*) FROM refresh_tokens) FROM pg_partition_tree('refresh_tokens') WHERE isleaf`), "B/token")
		b.ReportMetric(one(b, conn, `
			SELECT 100.0 * n_tup_hot_upd / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'token_families'`), "%HOT")
	}
}

// manyFamilies makes families with a browser's data, in no order.
func manyFamilies(b *testing.B, db *testdb.DB, st *store.Store, n int) []*chain {
	b.Helper()
	_, f, _ := login(b, st)
	conn := db.Conn(b)
	// Ids that rise, as logins make them.
	_, err := conn.Exec(b.Context(), `
		INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id,
		       current_hash, generation, previous_token_id, successor_seal, rotated_at, idle_expires_at, access_until, first_user_agent, last_user_agent,
		       first_address, last_address)
		SELECT (lpad(to_hex(1764000000000 + i), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid,
		       f.user_id, f.client_id, f.created_at, f.auth_time, f.expires_at, f.expires_on, gen_random_uuid(), sha256(i::text::bytea), 1,
		       gen_random_uuid(), decode(repeat('ab', $2), 'hex'), f.rotated_at, f.idle_expires_at, f.access_until, $3, $3, '192.0.2.1', '192.0.2.1'
		  FROM token_families f, generate_series(1, $1::int) i`, n, sealSize, browser)
	if err != nil {
		b.Fatal(err)
	}
	for _, statement := range []string{`DELETE FROM token_families WHERE generation = 0`, `DELETE FROM refresh_tokens`, `VACUUM ANALYZE`} {
		if _, err := conn.Exec(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	rows, err := conn.Query(b.Context(), `SELECT id, current_token_id, current_hash FROM token_families`)
	if err != nil {
		b.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*chain, error) {
		c := &chain{Family: family.Family{ClientID: f.ClientID}}
		var hash []byte
		err := row.Scan(&c.ID, &c.current.id, &hash)
		copy(c.current.hash[:], hash)
		return c, err
	})
	if err != nil {
		b.Fatal(err)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// rotateEach rotates each family once, by 64 clients, and returns how much each wrote to the log.
func rotateEach(b *testing.B, conn *pgx.Conn, st *store.Store, list []*chain) (walBytes float64) {
	b.Helper()
	began := lsn(b, conn)
	next := make(chan *chain)
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			for c := range next {
				ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
				to := link{id: uuid.Must(uuid.NewV7()), hash: newLink().hash}
				r := rotation(c.Family, c.current, to)
				r.Seal, r.UserAgent = make([]byte, sealSize), browser
				if _, ok, err := st.RotateFamily(ctx, r); !ok || err != nil {
					b.Errorf("rotated %v, error %v", ok, err)
				}
				c.current = to
				cancel()
			}
		})
	}
	for _, c := range list {
		next <- c
	}
	close(next)
	clients.Wait()
	return one(b, conn, `SELECT (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::float / $2`, began, len(list))
}

func lsn(b *testing.B, conn *pgx.Conn) (at string) {
	b.Helper()
	if err := conn.QueryRow(b.Context(), `SELECT pg_current_wal_insert_lsn()::text`).Scan(&at); err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(at)
}

func one(b *testing.B, conn *pgx.Conn, statement string, args ...any) (value float64) {
	b.Helper()
	if err := conn.QueryRow(b.Context(), statement, args...).Scan(&value); err != nil {
		b.Fatal(err)
	}
	return value
}
