// Command kindred is an auth server on PostgreSQL with persistent token families.
//
// One file a command: dev, serve, migrate, user, session, client, keys, events, explain, check, purge, restore-guard,
// doctor, healthcheck, version, completion.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	// Roots to verify PostgreSQL's certificate with where the system has none, as in an image from scratch.
	_ "golang.org/x/crypto/x509roots/fallback"

	"kindred/internal/config"
	"kindred/internal/store"
)

// version is set by the linker.
var version = "dev"

// process is the world around a command: what it reads and where it writes.
type process struct {
	stdin   *os.File
	stdout  io.Writer
	stderr  io.Writer
	environ []string
	dir     string // the working directory
}

// settings is where a command's settings come from.
func (p process) settings() config.Source {
	return config.Source{Environ: p.environ, Dir: p.dir, ParseDatabaseURL: store.ParseURL}
}

func main() {
	// The first signal ends the command in good order, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kindred: find working directory:", err)
		os.Exit(exitFailed)
	}
	p := process{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), dir: dir}
	if err := newRoot(p).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kindred:", err)
		os.Exit(exitCode(err))
	}
}

func newRoot(p process) *cobra.Command {
	root := &cobra.Command{
		Use:           "kindred",
		Short:         "An auth server on PostgreSQL with persistent token families",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.AddCommand(newDev(p), newServe(p), newMigrate(p), newUser(p), newSession(p), newClient(p), newKeys(p), newEvents(p), newExplain(p),
		newCheck(p), newPurge(p), newRestoreGuard(p), newDoctor(p), newHealthcheck(p), newVersion(p), newCompletion(p), newExitCodes())
	markBodies(root)
	return root
}
