package devdb

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// throwaway starts a server and returns the address of a new database in it for each name.
func throwaway(t *testing.T, names ...string) []string {
	t.Helper()
	server, err := StartThrowaway(t.Context(), ThrowawayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	var urls []string
	for _, name := range names {
		mustExec(t, server.URL(), "CREATE DATABASE "+name)
		urls = append(urls, server.cluster.url(name))
	}
	return urls
}

const marked = "SELECT to_regnamespace('kindred_dev') IS NOT NULL"

func TestStart_MarksAnEmptyDatabaseAndTakesItAgain(t *testing.T) {
	t.Parallel()
	url := throwaway(t, "given")[0]
	mustExec(t, url, "CREATE EXTENSION pgcrypto") // as managed servers come; it holds no data
	dir := project(t)
	server := mustStart(t, Options{Dir: dir, DatabaseURL: url})
	if server.URL() != url {
		t.Error("the server is not the one that was given")
	}
	if strings.Contains(server.Where(), "trust") || !strings.Contains(server.Where(), "given") {
		t.Errorf("Where is %q", server.Where())
	}
	if !query[bool](t, url, marked) {
		t.Fatal("the database bears no mark")
	}
	mustExec(t, url, "CREATE TABLE users (); CREATE SCHEMA more")
	stop(t, server)
	query[int](t, url, "SELECT 1") // a server that was given is not ours to stop

	mustStart(t, Options{Dir: dir, DatabaseURL: url})
}

func TestStart_RefusesADatabaseInWhichAnythingIs(t *testing.T) {
	t.Parallel()
	objects := map[string]string{
		"a_table":      "CREATE TABLE t ()",
		"a_sequence":   "CREATE SEQUENCE s",
		"a_schema":     "CREATE SCHEMA s",
		"a_function":   "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"a_type":       "CREATE TYPE e AS ENUM ('a')",
		"large_object": "SELECT lo_create(0)",
		// The mark of another database, as a dump of a development database would bring it.
		"foreign_mark": "CREATE SCHEMA kindred_dev; CREATE TABLE kindred_dev.mark (system_identifier bigint, database name);" +
			"INSERT INTO kindred_dev.mark VALUES (1, current_database())",
	}
	const count = `SELECT (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_namespace) + (SELECT count(*) FROM pg_proc)`
	var names []string
	for name := range objects {
		names = append(names, name)
	}
	urls := throwaway(t, names...)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			mustExec(t, urls[i], objects[name])
			before := query[int](t, urls[i], count)
			if _, err := start(t, Options{Dir: project(t), DatabaseURL: urls[i]}); !errors.Is(err, ErrNotOurs) {
				t.Errorf("got %v, want ErrNotOurs", err)
			}
			if after := query[int](t, urls[i], count); after != before {
				t.Errorf("the refused database went from %d to %d objects", before, after)
			}
		})
	}
}

func TestStart_TwoAtOnceMarkOneDatabaseOnce(t *testing.T) {
	t.Parallel()
	url := throwaway(t, "given")[0]
	var group sync.WaitGroup
	for range 4 {
		dir := project(t)
		group.Go(func() {
			if _, err := Start(t.Context(), Options{Dir: dir, DatabaseURL: url}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := query[int](t, url, "SELECT count(*) FROM kindred_dev.mark"); n != 1 {
		t.Errorf("%d marks, want 1", n)
	}
}

func TestStart_NeverMakesAGivenDatabaseFresh(t *testing.T) {
	t.Parallel()
	url := throwaway(t, "given")[0]
	_, err := start(t, Options{Dir: project(t), DatabaseURL: url, Fresh: true})
	if err == nil || !strings.Contains(err.Error(), "--fresh") {
		t.Errorf("got %v, want a refusal that names --fresh", err)
	}
	if query[bool](t, url, marked) {
		t.Error("the refused database was marked")
	}
}
