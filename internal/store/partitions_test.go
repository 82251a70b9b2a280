package store_test

import (
	"strings"
	"testing"

	"kindred/internal/testdb"
	"kindred/migrations"
)

// The functions run as the schema's owner: a table of the caller's must not pass for one of ours.
func TestPartitionFunctions_GoByTheOwnersNames(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t) // whose functions have no test clock in their search path
	quiet := func(string) {}
	if err := migrations.Up(t.Context(), db.URL(), quiet, quiet); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `SELECT kindred_ensure_partitions('refresh_tokens', day, day) FROM (SELECT (now() AT TIME ZONE 'UTC')::date - 7 AS day) AS last_week`)
	db.Exec(t, `
		INSERT INTO users (id, username, username_key, password_hash, role, created_at, password_changed_at)
		VALUES (gen_random_uuid(), 'ana', 'ana', 'x', 'user', now(), now());
		INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id, current_hash, rotated_at, idle_expires_at, access_until)
		SELECT gen_random_uuid(), id, 'kindred', ended, ended, ended, (ended AT TIME ZONE 'UTC')::date, gen_random_uuid(), decode(repeat('00', 32), 'hex'), ended, ended, ended
		  FROM users CROSS JOIN (SELECT now() - interval '7 days' AS ended) AS t;
		GRANT EXECUTE ON FUNCTION kindred_drop_past_partition(regclass, date) TO pg_monitor`)
	conn := db.Conn(t)
	if _, err := conn.Exec(t.Context(), `SET ROLE pg_monitor; CREATE TEMPORARY TABLE token_families (expires_on date); GRANT SELECT ON token_families TO PUBLIC; SET search_path = pg_temp, public`); err != nil {
		t.Fatal(err)
	}
	var dropped *string
	err := conn.QueryRow(t.Context(), `SELECT public.kindred_drop_past_partition('public.refresh_tokens', (now() AT TIME ZONE 'UTC')::date)`).Scan(&dropped)
	if err != nil || dropped != nil {
		t.Errorf("dropped %v, in which a family lies; error %v", dropped, err)
	}
}

func TestPartitionFunctions_YesterdayStaysInTheTrail(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	for _, day := range []string{"today", "today + 1", "NULL"} {
		_, err := db.Conn(t).Exec(t.Context(), `SELECT kindred_drop_past_partition('audit_events', `+day+`) FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS today) AS t`)
		if err == nil || !strings.Contains(err.Error(), "dropped once they are past") {
			t.Errorf("before %s: error %v", day, err)
		}
	}
}
