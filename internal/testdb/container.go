package testdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"

	"kindred/internal/devdb"
)

const defaultImage = "postgres:17-alpine"

// startContainer starts PostgreSQL in a container, on a port of 127.0.0.1 that it keeps when it is
// halted and resumed.
func startContainer(ctx context.Context, settings ...string) (host, error) {
	image := os.Getenv("KINDRED_TEST_POSTGRES_IMAGE")
	if image == "" {
		image = defaultImage
	}
	if err := awaitDaemon(ctx); err != nil {
		return host{}, err
	}
	if err := haveImage(ctx, image); err != nil {
		return host{}, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return host{}, err
	}
	const startLimit = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	c, err := postgres.Run(ctx, image, containerCommand(settings), publishOn(port))
	if err != nil {
		return host{}, errors.Join(fmt.Errorf("start a container of %s: %w", image, err), terminate(context.WithoutCancel(ctx), c))
	}
	h, err := containerHost(ctx, c)
	if err != nil {
		return host{}, errors.Join(err, terminate(context.WithoutCancel(ctx), c))
	}
	return h, nil
}

func containerCommand(settings []string) testcontainers.ContainerCustomizer {
	command := []string{"postgres"}
	for _, setting := range append(devdb.ThrowawaySettings(), settings...) {
		command = append(command, "-c", setting)
	}
	return testcontainers.WithCmd(command...)
}

// publishOn fixes the port: one that Docker chooses changes with each start of the container.
func publishOn(port int) testcontainers.ContainerCustomizer {
	return testcontainers.WithHostConfigModifier(func(config *container.HostConfig) {
		config.PortBindings = network.PortMap{network.MustParsePort("5432/tcp"): {
			{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: strconv.Itoa(port)},
		}}
	})
}

func containerHost(ctx context.Context, c *postgres.PostgresContainer) (host, error) {
	url, err := c.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return host{}, fmt.Errorf("find the container: %w", err)
	}
	if err := awaitAnswer(ctx, url); err != nil {
		return host{}, err
	}
	return host{
		from: fromContainer, url: url,
		stop: func(ctx context.Context) error { return terminate(ctx, c) },
		halt: func(ctx context.Context, immediate bool) error {
			// The image's stop signal is PostgreSQL's fast shutdown; without any time to do it in,
			// all that runs in the container is killed.
			patience := 30 * time.Second
			if immediate {
				patience = 0
			}
			return c.Stop(ctx, &patience)
		},
		resume: func(ctx context.Context) error {
			if err := c.Start(ctx); err != nil {
				return err
			}
			return awaitAnswer(ctx, url)
		},
	}, nil
}

// awaitDaemon asks for a Docker daemon; that there is none is known at once.
func awaitDaemon(ctx context.Context) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	daemon, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return fmt.Errorf("reach a Docker daemon: %w", err)
	}
	defer daemon.Close()
	if _, err := daemon.Ping(ctx, client.PingOptions{}); err != nil {
		return fmt.Errorf("reach a Docker daemon: %w", err)
	}
	return nil
}

// haveImage pulls the image unless the daemon has it. Where no registry can be reached a pull fails
// only when its time is over, so for a while after it the test processes that follow do not try.
func haveImage(ctx context.Context, image string) error {
	const patience, retryAfter = time.Minute, 10 * time.Minute
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return fmt.Errorf("reach a Docker daemon: %w", err)
	}
	defer provider.Close()
	if _, err := provider.Client().ImageInspect(ctx, image); err == nil {
		return nil
	}
	mark := filepath.Join(os.TempDir(), fmt.Sprintf("kindred-no-image-%d-%x",
		os.Getuid(), sha256.Sum256([]byte(os.Getenv("DOCKER_HOST")+" "+image))))
	forced := os.Getenv("KINDRED_TEST_POSTGRES") != ""
	if info, err := os.Stat(mark); !forced && err == nil && time.Since(info.ModTime()) < retryAfter {
		return fmt.Errorf("pull %s: not tried again within %v of a failure", image, retryAfter)
	}
	say("pulling " + image)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := provider.PullImage(ctx, image); err != nil {
		return errors.Join(fmt.Errorf("pull %s: %w", image, err), os.WriteFile(mark, nil, 0o600))
	}
	return nil
}

func awaitAnswer(ctx context.Context, url string) error {
	const patience, pause = time.Minute, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := execOn(ctx, url, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// terminate ends the container at once: its data is not wanted any more.
func terminate(ctx context.Context, c *postgres.PostgresContainer) error {
	if c == nil {
		return nil
	}
	if err := c.Terminate(ctx, testcontainers.StopTimeout(0)); err != nil {
		return fmt.Errorf("end the container: %w", err)
	}
	return nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
