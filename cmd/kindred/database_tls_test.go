package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kindred/internal/config"
	"kindred/internal/testdb"
)

// DATABASE_URL with sslmode=verify-full, on a PostgreSQL with a certificate: all that Kindred opens is over TLS,
// and whoever cannot prove to be that server is not spoken to.
func TestServe_VerifiesPostgreSQL(t *testing.T) {
	t.Parallel()
	server := testdb.Dedicated(t)
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	const password = "never-told-to-anybody"
	by := func(host, authority, database string) string {
		u := *address
		u.User, u.Host, u.Path = url.UserPassword(address.User.Username(), password), net.JoinHostPort(host, address.Port()), "/"+database
		if given, set := address.User.Password(); set {
			u.User = url.UserPassword(address.User.Username(), given)
		}
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {authority}}.Encode()
		return u.String()
	}
	database := strings.TrimPrefix(address.Path, "/")
	refused := func(name, url, want string) {
		t.Helper()
		_, stderr, code := run(t, "", []string{"DATABASE_URL=" + url}, "user", "list")
		if code != exitUnavailable || !strings.Contains(stderr, want) || strings.Contains(stderr, password) {
			t.Errorf("%s: exit code %d, %q is not in %s", name, code, want, stderr)
		}
	}
	now := time.Now()
	ours, others := newAuthorityFile(t), newAuthorityFile(t)
	refused("no TLS at all", by("127.0.0.1", ours.file, database), "server refused TLS connection")

	cert, key, err := ours.sign(now, nil, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	useCertificate(t, server, cert, key)
	refused("another authority", by("127.0.0.1", others.file, database), "certificate signed by unknown authority")
	refused("another name", by("localhost", ours.file, database), "wanted to match localhost")

	if stdout, stderr, code := run(t, "", []string{"DATABASE_URL=" + by("127.0.0.1", ours.file, "fresh")}, "migrate", "up"); code != 0 {
		t.Fatalf("migrate up: %s%s", stdout, stderr)
	}
	verified := by("127.0.0.1", ours.file, database)
	addUser(t, verified, "user1")
	s := startServing(t, serveEnvironment(verified))
	wantStatus(t, s.refresh(t, s.login(t, "user1").field(t, "refreshToken")), http.StatusOK)
	if ready := s.get(t, "/readyz", ""); ready.status != http.StatusOK || strings.Contains(ready.body, "detail") {
		t.Errorf("not ready, or not fed: %d %s", ready.status, ready.body)
	}
	var over, plain int
	err = server.Conn(t).QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
		  FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name IN ('kindred', 'kindred feed')`).Scan(&over, &plain)
	if err != nil || over < 2 || plain != 0 {
		t.Errorf("%d connections over TLS, %d in clear, %v", over, plain, err)
	}
	if strings.Contains(s.logs.String(), password) {
		t.Error("the password is in the log")
	}
}

// An operator whose database is on a net, unverified, is told so once, setting by setting, and without a password.
func TestServe_WarnsOfAnUnverifiedDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ []string
		want    []string
	}{
		{serveEnvironment("postgres://u:s3cret@db.example/k?sslmode=verify-full"), nil},
		{serveEnvironment("postgres://u:s3cret@db.example/k"), []string{"DATABASE_URL"}},
		{serveEnvironment("postgres://u:s3cret@127.0.0.1/k", "REVOCATION_LISTEN_URL=postgres://u:s3cret@db.example/k"), []string{"REVOCATION_LISTEN_URL"}},
	} {
		cfg, err := config.Load(config.Source{Environ: c.environ})
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		warnOfUnverified(slog.New(slog.NewJSONHandler(&log, nil)), cfg)
		var told []string
		for _, name := range []string{"DATABASE_URL", "REVOCATION_LISTEN_URL"} {
			if strings.Contains(log.String(), `"setting":"`+name+`","hosts":["db.example"]`) {
				told = append(told, name)
			}
		}
		if !slices.Equal(told, c.want) || strings.Contains(log.String(), "s3cret") {
			t.Errorf("told of %q, want %q: %s", told, c.want, &log)
		}
	}
}

// authorityFile is an authority whose certificate lies in a file, as sslrootcert wants it.
type authorityFile struct {
	authority
	file string
}

func newAuthorityFile(t testing.TB) authorityFile {
	t.Helper()
	a, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "root.crt")
	if err := writePEM(file, "CERTIFICATE", a.cert.Raw); err != nil {
		t.Fatal(err)
	}
	return authorityFile{a, file}
}

// useCertificate turns TLS on in a running PostgreSQL, and makes a database "fresh" there. The files go the way of
// SQL: the server may run in a container, and wants a key that is its own user's.
func useCertificate(t testing.TB, server *testdb.Server, cert []byte, key crypto.Signer) {
	t.Helper()
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"server.crt": {Type: "CERTIFICATE", Bytes: cert}, "server.key": {Type: "PRIVATE KEY", Bytes: encoded}} {
		server.Exec(t, fmt.Sprintf(`COPY (SELECT unnest(string_to_array('%s', chr(10)))) TO PROGRAM 'umask 077; cat > %s'`,
			strings.TrimSpace(string(pem.EncodeToMemory(block))), file))
	}
	for _, statement := range []string{`ALTER SYSTEM SET ssl = on`, `SELECT pg_reload_conf()`, `CREATE DATABASE fresh`} {
		server.Exec(t, statement)
	}
	for deadline := time.Now().Add(30 * time.Second); ; { // it reads the file when it comes to it
		var on bool
		if err := server.Conn(t).QueryRow(t.Context(), `SELECT current_setting('ssl') = 'on'`).Scan(&on); err != nil {
			t.Fatal(err)
		}
		if on {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL does not turn TLS on")
		}
	}
}
