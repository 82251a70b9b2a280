package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Options say which server Start is to find.
type Options struct {
	// Dir is the project's folder. What Kindred keeps for it is in .kindred there.
	Dir string
	// DatabaseURL is DATABASE_URL of the real environment. It must never come from a .env file: there
	// it is likely to be the address that the project is served with.
	DatabaseURL string
	// Fresh deletes the cluster and the secrets of an earlier run first.
	Fresh bool
	// Log is told, a line each, what takes long or changes the machine. It may be nil.
	Log func(string)
}

var (
	// ErrInUse means that another process holds the folder's server.
	ErrInUse = errors.New("another `kindred dev` is running in this folder")
	// ErrNotOurs means that a database was handed over that is neither empty nor marked as dev's own.
	ErrNotOurs = errors.New("the database of DATABASE_URL is not empty and was not made by `kindred dev`")
	// ErrNoPostgres means that there is no PostgreSQL and no way to get one. Its text says what helps.
	ErrNoPostgres = errors.New("no PostgreSQL: install PostgreSQL 15 or newer (its folder in PG_BIN if it is an unusual one) or Docker, or set DATABASE_URL to an empty database")
)

// Server is the PostgreSQL of one project folder, until Stop.
type Server struct {
	url, where string
	failed     <-chan struct{}
	stop       func(context.Context) error

	once    sync.Once
	stopErr error
}

// URL is the address of the database, with its password: never log it.
func (s *Server) URL() string { return s.url }

// Where tells a person where the data is. There is no secret in it.
func (s *Server) Where() string { return s.where }

// Done is closed when PostgreSQL ended without having been asked to.
func (s *Server) Done() <-chan struct{} { return s.failed }

// Stop ends the server, sessions or not, and returns when it is gone and the folder is free for the
// next one. A server that Start did not start goes on. If the context ends first the server is ended
// the hard way and the error says so; its data recovers at the next start. Further calls do nothing
// and return the same.
func (s *Server) Stop(ctx context.Context) error {
	s.once.Do(func() { s.stopErr = s.stop(ctx) })
	return s.stopErr
}

// Start finds or starts the folder's PostgreSQL, in this order: the database of DatabaseURL, if it is
// empty or an earlier Start has marked it; PostgreSQL programs on this machine; a container, through
// the docker command, of the image in KINDRED_DEV_POSTGRES_IMAGE; as root on Debian or Ubuntu the
// distribution's package, which it installs. KINDRED_DEV_POSTGRES=local|docker leaves out the others.
//
// The error is ErrInUse, ErrNotOurs or ErrNoPostgres where it is one of these.
func Start(ctx context.Context, options Options) (*Server, error) {
	if options.DatabaseURL != "" && options.Fresh {
		return nil, errors.New("--fresh deletes what `kindred dev` made itself, and never the database of DATABASE_URL: unset one of the two")
	}
	if options.Log == nil {
		options.Log = func(string) {}
	}
	f, err := openFolder(options.Dir)
	if err != nil {
		return nil, err
	}
	server, err := f.start(ctx, options)
	if err != nil {
		return nil, errors.Join(err, f.lock.release())
	}
	end := server.stop
	server.stop = func(ctx context.Context) error { return errors.Join(end(ctx), f.lock.release()) }
	return server, nil
}

func (f folder) start(ctx context.Context, options Options) (*Server, error) {
	if options.DatabaseURL != "" {
		return adopt(ctx, options.DatabaseURL)
	}
	if options.Fresh {
		if err := f.removeState(ctx); err != nil {
			return nil, err
		}
	}
	source := os.Getenv("KINDRED_DEV_POSTGRES")
	switch source {
	case "local":
		return f.startLocal(ctx)
	case "docker":
		return f.startDocker(ctx, options.Log)
	case "":
	default:
		return nil, fmt.Errorf("KINDRED_DEV_POSTGRES is %q, want local or docker", source)
	}
	server, err := f.startLocal(ctx)
	if !errors.Is(err, ErrNoBinaries) {
		return server, err
	}
	server, err = f.startDocker(ctx, options.Log)
	if !errors.Is(err, errNoDocker) {
		return server, err
	}
	dockerErr := err
	err = Install(ctx, options.Log)
	if errors.Is(err, ErrCannotInstall) {
		return nil, fmt.Errorf("%w (%w)", ErrNoPostgres, dockerErr)
	}
	if err != nil {
		return nil, err
	}
	return f.startLocal(ctx)
}
