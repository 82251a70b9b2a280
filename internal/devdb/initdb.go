package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// initialise makes the data folder unless it stands. It is made under another name and renamed when
// it is whole: what a crash left half made is never taken for a cluster.
func (c *cluster) initialise(ctx context.Context, args ...string) error {
	if _, err := os.Stat(c.data()); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for the cluster: %w", err)
	}
	unfinished := c.data() + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove a half-made cluster: %w", err)
	}
	args = append([]string{
		"--pgdata", unfinished, "--username", superuser, "--encoding", "UTF8", "--locale", "C", "--no-instructions",
	}, args...)
	if c.password != "" {
		file, err := c.writePasswordFile()
		if err != nil {
			return err
		}
		defer os.Remove(file)
		args = append(args, "--auth", "scram-sha-256", "--pwfile", file)
	}
	if err := run(c.command(ctx, "initdb", args...), c.cred); err != nil {
		return errors.Join(fmt.Errorf("make the cluster: %w", err), os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, c.data()); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	return nil
}

// writePasswordFile is how initdb learns the password: others can read a program's arguments.
func (c *cluster) writePasswordFile() (string, error) {
	file, err := writeTemporary(c.home, c.password+"\n")
	if err != nil {
		return "", err
	}
	if err := chownFor(file, c.cred); err != nil {
		return "", errors.Join(err, os.Remove(file))
	}
	return file, nil
}
