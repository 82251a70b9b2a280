package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kindred/internal/testdb"
)

// rolesOfAll: roles are the whole server's, and tests would make them at the same time.
var rolesOfAll sync.Mutex

const passwordOfRoles = "a password that only tests use"

// giveRoles runs the operators' file on a database, and more in the same transaction.
func giveRoles(t testing.TB, db *testdb.DB, more ...string) {
	t.Helper()
	file, err := os.ReadFile("../../deploy/sql/roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	rolesOfAll.Lock()
	defer rolesOfAll.Unlock()
	db.Exec(t, string(file)+strings.Join(more, ";")) // in one transaction, as with psql -1
	for _, role := range []string{"kindred_owner", "kindred_server", "kindred_reader"} {
		db.Exec(t, "ALTER ROLE "+role+" PASSWORD '"+passwordOfRoles+"'")
	}
}

// as is a database's address for one of the roles.
func as(t testing.TB, role, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, passwordOfRoles)
	return u.String()
}

func connectAs(t testing.TB, role string, db *testdb.DB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), as(t, role, db.URL()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func TestRoles_AFreshDatabaseWithoutASuperuser(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	giveRoles(t, db)
	owner := terminal{t, []string{"DATABASE_URL=" + as(t, "kindred_owner", db.URL())}}
	owner.want(0, "00015_roles.sql", "", "migrate", "up")
	reader := terminal{t, []string{"DATABASE_URL=" + as(t, "kindred_reader", db.URL())}}
	reader.want(0, "", "", "check") // by the default privileges
	giveRoles(t, db)
	server := as(t, "kindred_server", db.URL())
	terminal{t, []string{"DATABASE_URL=" + server}}.want(0, "", goodPassword, "user", "add", "ana", "--password-stdin")
	s := startServing(t, serveEnvironment(server))
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusOK)
	wantStatus(t, s.mustPost(t, "/login", `{"username":"ana","password":"`+goodPassword+`"}`), http.StatusOK)
}

// From a login to the purge of what is left of it, and all that operators change.
func TestRoles_TheServerNeedsNoMoreThanItsGrants(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	giveRoles(t, db)
	server := as(t, "kindred_server", db.URL())
	s := startServing(t, serveEnvironment(server, "FAMILY_MAX_LIFETIME=48h", keyEncryptionKey))
	o := terminal{t, []string{"DATABASE_URL=" + server, "FAMILY_MAX_LIFETIME=48h", keyEncryptionKey}}

	first := s.login(t, "user1").field(t, "refreshToken")
	second := s.refresh(t, first)
	wantStatus(t, s.get(t, "/protected", second.field(t, "accessToken")), http.StatusOK)
	db.Advance(t, 11*time.Second)
	wantStatus(t, s.refresh(t, first), http.StatusForbidden) // reuse
	wantStatus(t, s.refresh(t, second.field(t, "refreshToken")), http.StatusForbidden)
	wantStatus(t, s.mustPost(t, "/login", `{"username":"user1","password":"wrong"}`), http.StatusBadRequest)
	wantStatus(t, s.mustPost(t, "/logout", refreshBody(s.login(t, "user1").field(t, "refreshToken"))), http.StatusNoContent)

	left := s.login(t, "user1").field(t, "refreshToken")
	session := o.json("", "session", "list", "user1")[0]["id"].(string)
	o.want(0, "", "", "session", "revoke", session)
	wantStatus(t, s.refresh(t, left), http.StatusForbidden)
	o.want(0, "", goodPassword, "user", "add", "ana", "--password-stdin")
	for _, act := range [][]string{{"set-role", "ana", "admin"}, {"disable", "ana"}, {"enable", "ana"}, {"delete", "ana", "--yes"}} {
		o.want(0, "", "", append([]string{"user"}, act...)...)
	}
	o.want(0, "", "", "client", "add", "shop", "--type", "confidential")
	o.want(0, "", "", "client", "rotate-secret", "shop")
	o.want(0, "", "", "client", "disable", "shop")
	o.want(0, "", "", "keys", "rotate")
	o.want(0, "", "", "check")

	db.Advance(t, 30*24*time.Hour)
	purged := o.json("", "purge")[0]
	if dropped, _ := purged["partitions"].([]any); purged["families"] != 3.0 || len(dropped) == 0 {
		t.Errorf("purged %v", purged)
	}
	s.login(t, "user1")
	var strangers []string
	rows, err := db.Conn(t).Query(t.Context(), `
		SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relowner <> 'kindred_owner'::regrole`)
	if err == nil {
		strangers, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(strangers) > 0 {
		t.Errorf("tables that are not the owner's: %q, error %v", strangers, err)
	}
}

// What somebody who has taken over a server cannot do with its role.
func TestRoles_RefusedToTheServer(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	giveRoles(t, db)
	var leaf string
	if err := db.Conn(t).QueryRow(t.Context(), `SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'refresh_tokens'::regclass`).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	conn := connectAs(t, "kindred_server", db)
	for statement, reason := range map[string]string{
		`UPDATE refresh_tokens SET generation = 0`:       "permission denied",
		`DELETE FROM refresh_tokens`:                     "permission denied",
		`TRUNCATE refresh_tokens`:                        "permission denied",
		`DELETE FROM ` + leaf:                            "permission denied",
		`DROP TABLE ` + leaf:                             "must be owner",
		`UPDATE audit_events SET actor = ''`:             "permission denied",
		`DELETE FROM audit_events`:                       "permission denied",
		`TRUNCATE audit_events`:                          "permission denied",
		`ALTER TABLE audit_events DISABLE TRIGGER ALL`:   "must be owner",
		`DELETE FROM users`:                              "permission denied",
		`ALTER TABLE users ADD COLUMN more text`:         "must be owner",
		`CREATE TABLE public.mine (id int)`:              "permission denied",
		`CREATE TEMPORARY TABLE token_families (id int)`: "permission denied",
		`CREATE FUNCTION public.clock_timestamp() RETURNS int LANGUAGE sql AS 'SELECT 1'`:     "permission denied",
		`ALTER FUNCTION kindred_drop_past_partition(regclass, date) SET search_path = public`: "must be owner",
		`SET ROLE kindred_owner`:                                                               "permission denied",
		`UPDATE installation SET guard_began_at = NULL`:                                        "permission denied",
		`UPDATE goose_db_version SET version_id = 0`:                                           "permission denied",
		`SELECT kindred_drop_past_week('refresh_tokens', '2999-01-01')`:                        "dropped once they are past",
		`SELECT kindred_drop_past_partition('refresh_tokens', current_date + 8)`:               "dropped once they are past",
		`SELECT kindred_drop_past_partition('refresh_tokens', NULL)`:                           "dropped once they are past",
		`SELECT kindred_drop_past_partition('audit_events', current_date)`:                     "dropped once they are past",
		`SELECT kindred_drop_past_partition('users', '2000-01-01')`:                            "dropped once they are past",
		`SELECT kindred_make_weeks('refresh_tokens', current_date + 500, current_date + 500)`:  "permission denied",
		`SELECT kindred_ensure_partitions('refresh_tokens', current_date, current_date + 500)`: "not made",
		`SELECT kindred_ensure_partitions('refresh_tokens', current_date - 15, current_date)`:  "not made",
		`SELECT kindred_ensure_partitions('pg_class', current_date, current_date)`:             "not made",
		`SELECT kindred_ensure_partitions(` + "'" + leaf + `', current_date, current_date)`:    "not made",
		`SELECT rolpassword FROM pg_authid`:                                                    "permission denied",
		`SELECT kindred_ensure_partitions('audit_events', NULL, current_date)`:                 "not made",
	} {
		_, err := conn.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || !strings.Contains(refused.Message, reason) {
			t.Errorf("%s: error %v, want %q", statement, err, reason)
		}
	}
}

// Servers of before, as a role that is no superuser and owned everything, serve on while the roles come.
func TestRoles_TheFormerOwnerServesOn(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	const former = "kindred_former"
	db.Exec(t, `CREATE ROLE `+former+` LOGIN PASSWORD '`+passwordOfRoles+`'`)
	t.Cleanup(func() { // roles are the whole server's
		conn, err := pgx.Connect(context.Background(), db.URL())
		if err == nil {
			_, err = conn.Exec(context.Background(), `DROP OWNED BY `+former+`; DROP ROLE `+former)
		}
		if err != nil {
			t.Error(err)
		}
	})
	db.Exec(t, `GRANT CREATE ON SCHEMA public TO `+former)
	environ := serveEnvironment(as(t, former, db.URL()))
	o := terminal{t, environ}
	o.want(0, "", "", "migrate", "up")
	o.want(0, "", goodPassword, "user", "add", "ana", "--password-stdin")
	s := startServing(t, environ)
	login := s.mustPost(t, "/login", `{"username":"ana","password":"`+goodPassword+`"}`)
	giveRoles(t, db, `GRANT kindred_owner TO `+former)
	wantStatus(t, s.refresh(t, login.field(t, "refreshToken")), http.StatusOK)
	wantStatus(t, s.get(t, "/readyz", ""), http.StatusOK)
	o.want(0, "", "", "purge") // on connections of its own
	o.want(0, "", "", "check")
}

// Who was let in to a restored database by its server's own role would be let in too early.
func TestRoles_RestoreGuardIsTheOwners(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	giveRoles(t, db)
	server, owner := as(t, "kindred_server", db.URL()), as(t, "kindred_owner", db.URL())
	s := startServing(t, serveEnvironment(server, keyEncryptionKey))
	tokens := s.login(t, "user1")
	for _, flag := range []string{"--yes", "--moved"} {
		if _, stderr, code := run(t, "", []string{"DATABASE_URL=" + server}, "restore-guard", flag); code == 0 || !strings.Contains(stderr, "installation") {
			t.Errorf("%s as the server's role: exit code %d: %s", flag, code, stderr)
		}
	}
	wantStatus(t, s.get(t, "/protected", tokens.field(t, "accessToken")), http.StatusOK)
	terminal{t, []string{"DATABASE_URL=" + owner}}.want(0, "nothing to do", "", "restore-guard", "--moved")
	terminal{t, []string{"DATABASE_URL=" + owner}}.want(0, "ended 1 sessions", "", "restore-guard", "--yes")
	wantStatus(t, s.refresh(t, tokens.field(t, "refreshToken")), http.StatusForbidden)
	wantStatus(t, s.get(t, "/protected", s.login(t, "user1").field(t, "accessToken")), http.StatusOK)
}

// A new table must be decided on: what the server may do with it, and that others read it.
func TestRoles_EachTableHasItsGrants(t *testing.T) {
	t.Parallel()
	decided := map[string]string{
		"users": "INSERT SELECT UPDATE", "token_families": "DELETE INSERT SELECT UPDATE", "refresh_tokens": "INSERT SELECT",
		"audit_events": "INSERT SELECT", "revocations": "DELETE INSERT SELECT", "signing_keys": "INSERT SELECT UPDATE",
		"clients": "INSERT SELECT UPDATE", "throttle": "DELETE INSERT SELECT UPDATE", "password_resets": "DELETE INSERT SELECT UPDATE",
		"installation": "SELECT", "goose_db_version": "SELECT", "goose_lock": "SELECT",
	}
	db := testdb.New(t)
	giveRoles(t, db)
	giveRoles(t, db) // it may run any number of times
	rows, err := db.Conn(t).Query(t.Context(), `
		SELECT c.relname, c.relispartition, role.name, coalesce(string_agg(DISTINCT p.name, ' ' ORDER BY p.name), '') FROM pg_class c
		 CROSS JOIN (VALUES ('kindred_server'), ('kindred_reader')) AS role (name)
		  LEFT JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) AS p (name)
		    ON has_table_privilege(role.name, c.oid, p.name)
		 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') GROUP BY 1, 2, 3`)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var table, role, privileges string
	var leaf bool
	_, err = pgx.ForEachRow(rows, []any{&table, &leaf, &role, &privileges}, func() error {
		want := "SELECT"
		if role == "kindred_server" && !leaf {
			want = decided[table]
			seen++
		}
		if diff := cmp.Diff(want, privileges); diff != "" {
			t.Errorf("%s on %s:\n%s", role, table, diff)
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("%d tables, error %v", seen, err)
	}
}

func TestRoles_TheReaderReads(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "user1")
	giveRoles(t, db)
	s := startServing(t, serveEnvironment(as(t, "kindred_server", db.URL())))
	s.login(t, "user1")
	o := terminal{t, []string{"DATABASE_URL=" + as(t, "kindred_reader", db.URL())}}
	for _, command := range []string{"user list", "session list user1", "events", "check", "explain user1", "migrate status", "client list"} {
		o.want(0, "", "", strings.Fields(command)...)
	}
	if code := o.exit("user", "disable", "user1"); code == 0 {
		t.Error("the reader disabled a user")
	}
	conn := connectAs(t, "kindred_reader", db)
	if _, err := conn.Exec(t.Context(), `SET default_transaction_read_only = off`); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`UPDATE users SET role = 'admin'`, `DELETE FROM token_families`, `INSERT INTO clients (id) VALUES ('x')`, `SELECT 1 FROM users FOR UPDATE`,
		`CREATE TABLE public.mine (id int)`, `CREATE TEMPORARY TABLE mine (id int)`, `SET ROLE kindred_server`,
		`SELECT kindred_drop_past_partition('refresh_tokens', '2000-01-01')`, `SELECT kindred_ensure_partitions('refresh_tokens', current_date, current_date)`,
	} {
		_, err := conn.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: error %v, want 42501", statement, err)
		}
	}
}

// exit runs a command of which only the exit code counts.
func (o terminal) exit(args ...string) int {
	o.t.Helper()
	_, _, code := run(o.t, "", o.environ, slices.Clone(args)...)
	return code
}
