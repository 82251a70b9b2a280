package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const helperDir = "KINDRED_DEVDB_HELPER_DIR"

// TestMain makes the test binary a second program too: one that starts a server and waits to be killed.
func TestMain(m *testing.M) {
	dir := os.Getenv(helperDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	server, err := Start(context.Background(), Options{Dir: dir, Log: func(string) {}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.URL())
	<-server.Done()
}

// project is a folder as git clone makes it: everybody may pass through, so that the PostgreSQL user
// can too where the tests run as root.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func start(t *testing.T, options Options) (*Server, error) {
	t.Helper()
	options.Log = func(line string) { t.Log(line) }
	server, err := Start(t.Context(), options)
	if err == nil {
		t.Cleanup(func() { stop(t, server) })
	}
	return server, err
}

func mustStart(t *testing.T, options Options) *Server {
	t.Helper()
	server, err := start(t, options)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func stop(t *testing.T, server *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func mustExec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value T
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func TestStart_KeepsDataOverARestart(t *testing.T) {
	t.Parallel()
	dir := project(t)
	server := mustStart(t, Options{Dir: dir})
	mustExec(t, server.URL(), "CREATE TABLE kept AS SELECT 42 AS answer")
	stop(t, server)
	stop(t, server) // a second time is no error

	server = mustStart(t, Options{Dir: dir})
	if got := query[int](t, server.URL(), "SELECT answer FROM kept"); got != 42 {
		t.Errorf("after a restart the answer is %d, want 42", got)
	}
	select {
	case <-server.Done():
		t.Error("Done is closed while the server runs")
	default:
	}
}

func TestStart_ListensOnLoopbackWithAPasswordAndDurably(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Options{Dir: project(t)})
	for setting, want := range map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "",
		"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on",
	} {
		if got := query[string](t, server.URL(), "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	config, err := pgx.ParseConfig(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(server.Where(), config.Password) {
		t.Error("Where tells the password")
	}
	config.Password = "another"
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		conn.Close(t.Context())
		t.Error("the server lets in without the right password")
	}
}

func TestStart_SecondInTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := project(t)
	first := mustStart(t, Options{Dir: dir})
	if _, err := start(t, Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("the second start: %v, want ErrInUse", err)
	}
	if _, err := start(t, Options{Dir: dir, Fresh: true}); !errors.Is(err, ErrInUse) {
		t.Errorf("the second start, fresh: %v, want ErrInUse", err)
	}
	query[int](t, first.URL(), "SELECT 1") // and the first goes on
}

func TestStart_FreshDeletesWhatIsKindredsAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := project(t)
	server := mustStart(t, Options{Dir: dir})
	mustExec(t, server.URL(), "CREATE TABLE old ()")
	before := secret(t, dir, "JWT_SECRET")
	stop(t, server)
	foreign := filepath.Join(dir, stateDir, "compose.env")
	if err := os.WriteFile(foreign, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}

	server = mustStart(t, Options{Dir: dir, Fresh: true})
	if query[bool](t, server.URL(), "SELECT to_regclass('old') IS NOT NULL") {
		t.Error("the old data is still there")
	}
	if secret(t, dir, "JWT_SECRET") == before {
		t.Error("the old secret is still there")
	}
	if !exists(t, foreign) {
		t.Error("a file that is not Kindred's is gone")
	}
}

func TestStart_FreshFollowsNoPointerOutOfItsPlace(t *testing.T) {
	t.Parallel()
	dir, victim := project(t), t.TempDir()
	secret(t, dir, "KEPT")
	if err := os.WriteFile(filepath.Join(dir, stateDir, "cluster"), []byte(victim+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, Options{Dir: dir, Fresh: true}); err == nil || !strings.Contains(err.Error(), outside) {
		t.Errorf("got %v, want an error that names %s", err, outside)
	}
	if !exists(t, victim) {
		t.Error("the folder that the pointer names is gone")
	}
	if !exists(t, filepath.Join(dir, stateDir, "secrets", "KEPT")) {
		t.Error("the refused start deleted the secrets")
	}
}

// Only read, never followed: a failure of this test must not cost anybody /var/lib.
func TestReadPointer_AcceptsNothingButAFolderInThePlace(t *testing.T) {
	t.Parallel()
	f := folder{path: project(t)}
	if err := os.Mkdir(f.state(""), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{
		"", "/", ".", "postgres", "/etc", outside, outside + "/", outside + "/.", outside + "/..",
		outside + "/../other", outside + "/a/b", outside + "/a/../..", outside + "/a/",
	} {
		if err := os.WriteFile(f.state("cluster"), []byte(target+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if home, err := f.readPointer(); err == nil {
			t.Errorf("%q was taken for %q", target, home)
		}
	}
	good := outside + "/0123456789"
	if err := os.WriteFile(f.state("cluster"), []byte(good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if home, err := f.readPointer(); home != good || err != nil {
		t.Errorf("%q was taken for %q (%v)", good, home, err)
	}
}

func TestStart_RedoesAClusterThatACrashLeftHalfMade(t *testing.T) {
	t.Parallel()
	dir := project(t)
	server := mustStart(t, Options{Dir: dir})
	stop(t, server)
	f := folder{path: resolved(t, dir)}
	home, _, err := f.home()
	if err != nil {
		t.Fatal(err)
	}
	// What a crash in initdb leaves: a folder that has a version and lacks the rest.
	if err := os.Rename(filepath.Join(home, "data"), filepath.Join(home, "data.unfinished")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(home, "data.unfinished", "global", "pg_control")); err != nil {
		t.Fatal(err)
	}
	server = mustStart(t, Options{Dir: dir})
	query[int](t, server.URL(), "SELECT 1")
}

func TestStart_ClusterLiesWhereItsUserCanReachIt(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(project(t), "closed")
	dir := filepath.Join(closed, "project")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server := mustStart(t, Options{Dir: dir})
	query[int](t, server.URL(), "SELECT 1")
	secret(t, dir, "JWT_SECRET")
	if !exists(t, filepath.Join(dir, stateDir, "secrets", "JWT_SECRET")) {
		t.Error("the secret is not in the project's folder")
	}

	inside := filepath.Join(resolved(t, dir), stateDir, "postgres")
	if os.Geteuid() != 0 {
		if !strings.HasSuffix(server.Where(), inside) {
			t.Errorf("the cluster is at %q, want it in %s", server.Where(), inside)
		}
		return
	}
	f := folder{path: resolved(t, dir)}
	home, err := f.readPointer()
	if err != nil || home == "" {
		t.Fatalf("the pointer is %q (%v)", home, err)
	}
	if !strings.HasSuffix(server.Where(), home) || exists(t, inside) {
		t.Errorf("the cluster is at %q, want it in %s alone", server.Where(), home)
	}
	mustExec(t, server.URL(), "CREATE TABLE old ()")
	stop(t, server)

	server = mustStart(t, Options{Dir: dir, Fresh: true})
	if query[bool](t, server.URL(), "SELECT to_regclass('old') IS NOT NULL") {
		t.Error("a fresh start left the data outside the folder")
	}
	stop(t, server)
	if err := f.removeState(t.Context()); err != nil {
		t.Fatal(err)
	}
	if exists(t, home) {
		t.Errorf("%s is still there", home)
	}
}

func TestLockHome_CopiedFolderCannotRunOnTheSameCluster(t *testing.T) {
	t.Parallel()
	home := t.TempDir() // as the pointers of both name it
	lock, err := lockHome(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockHome(home); !errors.Is(err, ErrInUse) {
		t.Errorf("the copy gets the cluster: %v, want ErrInUse", err)
	}
	if err := lock.release(); err != nil {
		t.Fatal(err)
	}
	again, err := lockHome(home)
	if err != nil {
		t.Fatalf("the cluster is free again: %v", err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}

func TestDone_ClosesWhenPostgreSQLEndsByItself(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Options{Dir: project(t)})
	// Its own user asks it to end, past us.
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, _ = conn.Exec(t.Context(), `COPY (SELECT 1) TO PROGRAM 'read pid < postmaster.pid; kill -INT $pid'`)
	select {
	case <-server.Done():
	case <-time.After(time.Minute):
		t.Error("Done is not closed although PostgreSQL was ended")
	}
}

func TestSecret_IsMadeOnceForAllWhoAsk(t *testing.T) {
	t.Parallel()
	dir := project(t)
	var got [8]string
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() { got[i] = secret(t, dir, "JWT_SECRET") })
	}
	group.Wait()
	for _, s := range got {
		if s != got[0] || len(s) != 43 {
			t.Fatal("not all who asked at once got the same 32 bytes")
		}
	}
	if secret(t, dir, "JWT_REFRESH_SECRET") == got[0] {
		t.Error("two names share one secret")
	}
	info, err := os.Stat(filepath.Join(dir, stateDir, "secrets", "JWT_SECRET"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file has mode %v, want 0600", info.Mode().Perm())
	}
}

func secret(t *testing.T, dir, name string) string {
	t.Helper()
	s, err := Secret(dir, name)
	if err != nil {
		t.Error(err)
	}
	return s
}

func resolved(t *testing.T, dir string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
