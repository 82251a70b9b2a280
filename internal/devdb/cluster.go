package devdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const superuser = "kindred"

// cluster is a PostgreSQL data folder, and the server on it while one runs. Only 127.0.0.1 reaches
// it: a Unix socket's path may be no longer than 107 bytes, and a project's folder can be deeper.
type cluster struct {
	bin      binaries
	cred     *syscall.Credential
	home     string // holds data/ and log; the user of cred can write here
	password string // none where the server trusts its own machine
	settings []string
	port     int // kept over restarts, so that a URL once given stays right

	server *process // nil while none runs
}

func (c *cluster) data() string    { return filepath.Join(c.home, "data") }
func (c *cluster) logPath() string { return filepath.Join(c.home, "log") }

// url is the address of one database of the cluster, its password included.
func (c *cluster) url(database string) string { return serverURL(c.port, c.password, database) }

func serverURL(port int, password, database string) string {
	who := url.User(superuser)
	if password != "" {
		who = url.UserPassword(superuser, password)
	}
	u := url.URL{
		Scheme: "postgres", User: who, Path: "/" + database, RawQuery: "sslmode=disable",
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
	}
	return u.String()
}

// command prepares one of PostgreSQL's programs. It gets no environment of ours: a PGDATA, PGPORT or
// PGOPTIONS that somebody exported must not redirect it.
func (c *cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin.program(program), args...)
	cmd.Dir = c.home // ours may be unreadable for the user that the program runs as
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	return cmd
}

// start runs the server and returns when it answers. A port that another program took since it was
// found free is replaced by another, unless a URL with it was given out already.
func (c *cluster) start(ctx context.Context) error {
	const attempts = 5
	fixed := c.port != 0
	for attempt := 1; ; attempt++ {
		if !fixed {
			port, err := freePort(ctx)
			if err != nil {
				return err
			}
			c.port = port
		}
		err := c.startOnce(ctx)
		if err == nil {
			return nil
		}
		if fixed || attempt == attempts || !strings.Contains(c.logTail(), "Address already in use") {
			return err
		}
	}
}

// freePort returns a TCP port of 127.0.0.1 that nobody listens on at this moment.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (c *cluster) startOnce(ctx context.Context) error {
	// The folder is the server's user's: as root we follow no link that it may have put there.
	log, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	defer log.Close()
	args := []string{"-D", c.data(), "-p", strconv.Itoa(c.port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "logging_collector=off",
		"log_timezone=UTC", "timezone=UTC",
	}, c.settings...) {
		args = append(args, "-c", setting)
	}
	// The server outlives the context of its start.
	cmd := c.command(context.WithoutCancel(ctx), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	// SIGQUIT is PostgreSQL's immediate shutdown: nothing can hold it up, and a durable cluster
	// recovers from its log at the next start.
	server, err := spawn(cmd, c.cred, syscall.SIGQUIT)
	if err != nil {
		return err
	}
	c.server = server
	if err := awaitReady(ctx, c.answers, server, c.logTail); err != nil {
		return errors.Join(err, c.end(context.WithoutCancel(ctx), syscall.SIGQUIT))
	}
	return nil
}

// awaitReady asks until there is no error. It does not wait for a server that has ended, nor for one
// that will never let us in; tail is what the server said last.
func awaitReady(ctx context.Context, ask func(context.Context) error, server *process, tail func() string) error {
	const patience, pause = time.Minute, 10 * time.Millisecond // recovery after a crash takes its time
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "28P01" {
			return fmt.Errorf("start PostgreSQL: the password in .kindred/secrets is not that of the data, start anew with --fresh: %w", err)
		}
		select {
		case <-server.done:
			return fmt.Errorf("start PostgreSQL: it ended (%v): %s", server.err, tail())
		case <-ctx.Done():
			return fmt.Errorf("start PostgreSQL: %w: %w: %s", ctx.Err(), err, tail())
		case <-time.After(pause):
		}
	}
}

// answers asks the server on our port whether it is ours: another one may have taken the port since
// it was found free, and a throw-away server lets everybody in.
func (c *cluster) answers(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var data string
	if err := conn.QueryRow(ctx, "SELECT current_setting('data_directory')").Scan(&data); err != nil {
		return err
	}
	if data != c.data() {
		return fmt.Errorf("the server on port %d has its data in %s", c.port, data)
	}
	return nil
}

// end stops the server and returns when it is gone: SIGINT is PostgreSQL's fast shutdown, which rolls
// back and writes a checkpoint; SIGQUIT the immediate one, like a crash. When the context ends first,
// the server is ended the immediate way, and the error says so. A server that is not there is no error.
func (c *cluster) end(ctx context.Context, how syscall.Signal) error {
	server := c.server
	c.server = nil
	if server == nil {
		return nil
	}
	if err := server.ask(how); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	select {
	case <-server.done:
		return nil
	case <-ctx.Done():
	}
	return errors.Join(fmt.Errorf("stop PostgreSQL: %w", ctx.Err()), server.endNow())
}

func (c *cluster) logTail() string { return fileTail(c.logPath()) }

// fileTail is the end of a log, for an error; or why there is none.
func fileTail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(text, 6)
}
