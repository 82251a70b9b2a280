// Command kindred-bench measures Kindred beside what it is made of, in one run: refreshes, logins and
// checks over HTTP beside the bare statement, the bare hash and a bare handler. docs/performance.md
// says what each figure is. It starts all that it needs, PostgreSQL included, and ends it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	// The first signal ends the bench in good order, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kindred-bench:", err)
		os.Exit(1)
	}
}

// options say how long to measure, and what.
type options struct {
	kindred string // the binary that is measured
	out     string // the file for the figures
	rounds  int
	seconds float64 // for each figure in each round
}

func (o options) duration() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

func newRoot() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "kindred-bench",
		Short:         "Measure Kindred beside what it is made of",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o, cmd.OutOrStdout()) },
	}
	root.Flags().StringVar(&o.kindred, "kindred", "bin/kindred", "the binary to measure")
	root.Flags().StringVar(&o.out, "out", "bench.json", "file to write the figures to")
	root.Flags().IntVar(&o.rounds, "rounds", 15, "rounds, each of which measures every figure once")
	root.Flags().Float64Var(&o.seconds, "seconds", 0.8, "seconds for each figure in each round")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newBareHTTP(), newGrowth())
	return root
}
