package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// database is the name of the one that Kindred uses in a server of its own.
const database = "kindred"

// startLocal runs the folder's cluster on this machine's programs. ErrNoBinaries means that there are
// none, and that there is no cluster here that would need them.
func (f folder) startLocal(ctx context.Context) (*Server, error) {
	// Before anything is made: where nothing can be started nothing is left behind.
	if _, err := findBinaries(ctx, 0); err != nil {
		return nil, err
	}
	home, cred, err := f.home()
	if err != nil {
		return nil, err
	}
	lock, err := lockHome(home)
	if err != nil {
		return nil, err
	}
	c := &cluster{cred: cred, home: home}
	if err := f.runCluster(ctx, c); err != nil {
		return nil, errors.Join(err, c.end(context.WithoutCancel(ctx), Immediate), lock.release())
	}
	return &Server{
		url:    c.url(database),
		where:  fmt.Sprintf("PostgreSQL %d, data in %s", c.bin.major, home),
		failed: c.server.failed,
		stop:   func(ctx context.Context) error { return errors.Join(c.end(ctx, Fast), lock.release()) },
	}, nil
}

func (f folder) runCluster(ctx context.Context, c *cluster) (err error) {
	major, err := clusterMajor(c.data())
	if err != nil {
		return err
	}
	c.bin, err = findBinaries(ctx, major)
	if errors.Is(err, ErrNoBinaries) {
		// Not wrapped: another source would start with an empty database, as if the data were lost.
		return fmt.Errorf("the data in %s is of PostgreSQL %d, which is not here any more: install it, or start anew with --fresh", c.home, major)
	}
	if err != nil {
		return err
	}
	if c.password, err = Secret(f.path, "POSTGRES_PASSWORD"); err != nil {
		return err
	}
	if err := endLeftover(ctx, c.data()); err != nil {
		return err
	}
	if err := c.initialise(ctx); err != nil {
		return err
	}
	if err := c.start(ctx); err != nil {
		return err
	}
	return ensureDatabase(ctx, c.url("postgres"))
}

// clusterMajor is the version that the cluster was made with, and 0 when there is none yet.
func clusterMajor(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %w", err)
	}
	return major, nil
}

func ensureDatabase(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	defer conn.Close(ctx)
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)", database).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	return nil
}
