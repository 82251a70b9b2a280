package devdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// errNoDocker means that there is no docker command, or no daemon, or no image to be had.
var errNoDocker = errors.New("no Docker")

const (
	defaultDevImage = "postgres:17-alpine"
	folderLabel     = "kindred.dev.folder"
)

// containerScript runs PostgreSQL for as long as somebody holds the container's standard input open:
// that ends with us, however we end. When it closes PostgreSQL is asked for a fast shutdown, and
// killed if it does not follow, which would be the case in the middle of making the cluster. When the
// first process of a container ends, the kernel ends all others.
const containerScript = `
exec 3<&0
docker-entrypoint.sh postgres 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -INT $server; sleep 8; kill -KILL $server; } &
wait $server`

// container is the folder's PostgreSQL in Docker. Its data is in a volume of the same name.
type container struct {
	folder   folder
	name     string
	image    string
	password string
	port     int
}

// startDocker runs the folder's PostgreSQL in a container. The error is errNoDocker when that is not
// possible on this machine.
func (f folder) startDocker(ctx context.Context, log func(string)) (*Server, error) {
	image := os.Getenv("KINDRED_DEV_POSTGRES_IMAGE")
	if image == "" {
		image = defaultDevImage
	}
	if err := haveDocker(ctx, image, log); err != nil {
		return nil, err
	}
	c := container{folder: f, name: f.volume(), image: image}
	var err error
	if c.password, err = Secret(f.path, "POSTGRES_PASSWORD"); err != nil {
		return nil, err
	}
	if c.port, err = freePort(ctx); err != nil {
		return nil, err
	}
	if err := c.clear(ctx); err != nil {
		return nil, err
	}
	return c.start(ctx)
}

func (f folder) volume() string { return "kindred-dev-" + f.hash() }

func haveDocker(ctx context.Context, image string, log func(string)) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return fmt.Errorf("%w: %w", errNoDocker, err)
	}
	const answerLimit, pullLimit = 5 * time.Second, 5 * time.Minute
	asking, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if err := docker(asking, "version", "--format", "{{.Server.Version}}"); err != nil {
		return fmt.Errorf("%w: %w", errNoDocker, err)
	}
	if docker(ctx, "image", "inspect", image) == nil {
		return nil
	}
	log("pulling " + image)
	pulling, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	if err := docker(pulling, "pull", image); err != nil {
		return fmt.Errorf("%w: %w", errNoDocker, err)
	}
	return nil
}

func docker(ctx context.Context, args ...string) error {
	return run(exec.CommandContext(ctx, "docker", args...), nil)
}

// clear ends a container that is still on its way out: PostgreSQL notices no second server on its
// data when each runs in a container. And it removes a volume in which no cluster was ever finished:
// the image takes whatever is in it for a whole one.
func (c container) clear(ctx context.Context) error {
	if err := c.remove(ctx); err != nil {
		return err
	}
	if finished, err := c.finished(); err != nil || finished {
		return err
	}
	if err := docker(ctx, "volume", "rm", "--force", c.name); err != nil {
		return fmt.Errorf("clear the volume: %w", err)
	}
	if err := docker(ctx, "volume", "create", "--label", folderLabel+"="+c.folder.path, c.name); err != nil {
		return fmt.Errorf("make the volume: %w", err)
	}
	return nil
}

// remove kills the container and returns when there is none. One that is already being removed, which
// goes on for a moment after its end, is refused by docker and waited for here.
func (c container) remove(ctx context.Context) error {
	const patience, pause = 20 * time.Second, 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := docker(ctx, "rm", "--force", "--volumes", c.name)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove the container: %w", err)
		case <-time.After(pause):
		}
	}
}

func (c container) start(ctx context.Context) (*Server, error) {
	output, err := os.OpenFile(c.folder.state("docker.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	defer output.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "docker", "run", "--rm", "--interactive",
		"--name", c.name, "--label", folderLabel+"="+c.folder.path,
		"--publish", fmt.Sprintf("127.0.0.1:%d:5432", c.port),
		// A data folder of our own choice: where the image has it changed with PostgreSQL 18.
		"--volume", c.name+":/var/lib/kindred", "--env", "PGDATA=/var/lib/kindred/data",
		"--env", "POSTGRES_USER="+superuser, "--env", "POSTGRES_DB="+database, "--env", "POSTGRES_PASSWORD",
		"--entrypoint", "/bin/sh", c.image, "-c", containerScript)
	cmd.Env = append(os.Environ(), "POSTGRES_PASSWORD="+c.password) // others can read arguments
	cmd.Stdout, cmd.Stderr = output, output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a container: %w", err)
	}
	client, err := spawn(cmd, nil, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	server := c.server(client, stdin)
	if err := c.awaitReady(ctx, client); err != nil {
		const patience = 15 * time.Second
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return nil, errors.Join(err, server.Stop(ending))
	}
	return server, nil
}

func (c container) server(client *process, stdin io.Closer) *Server {
	return &Server{
		url:    serverURL(c.port, c.password, database),
		where:  fmt.Sprintf("PostgreSQL in Docker (%s), data in the volume %s", c.image, c.name),
		failed: client.failed,
		stop: func(ctx context.Context) error {
			client.asked.Store(true)
			// The end of its input is what the container waits for. The client may have closed it.
			if err := stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
				return fmt.Errorf("stop the container: %w", err)
			}
			select {
			case <-client.done:
				return nil
			case <-ctx.Done():
			}
			err := c.remove(context.WithoutCancel(ctx))
			<-client.done
			return errors.Join(fmt.Errorf("stop the container: %w", ctx.Err()), err)
		},
	}
}

// awaitReady returns when PostgreSQL answers, and notes that the volume holds a whole cluster. The
// image makes the cluster with a server that does not listen on TCP, so an answer means that it is done.
func (c container) awaitReady(ctx context.Context, client *process) error {
	tail := func() string { return fileTail(c.folder.state("docker.log")) }
	if err := awaitReady(ctx, c.answers, client, tail); err != nil {
		return err
	}
	return writeFile(c.folder.state("docker-volume"), c.name+"\n")
}

func (c container) answers(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, serverURL(c.port, c.password, database))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// finished says whether the volume holds a whole cluster. A copied folder brings along the name of
// the original's.
func (c container) finished() (bool, error) {
	text, err := os.ReadFile(c.folder.state("docker-volume"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find the volume: %w", err)
	}
	return strings.TrimSpace(string(text)) == c.name, nil
}

// removeVolume deletes the data that a container of this folder made, if one ever did.
func (f folder) removeVolume(ctx context.Context) error {
	c := container{folder: f, name: f.volume()}
	finished, err := c.finished()
	if err != nil || !finished {
		return err
	}
	if err := c.remove(ctx); err != nil {
		return fmt.Errorf("start afresh: %w", err)
	}
	if err := docker(ctx, "volume", "rm", "--force", c.name); err != nil {
		return fmt.Errorf("start afresh: %w", err)
	}
	return nil
}
