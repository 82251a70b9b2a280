package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"kindred/migrations"
)

func newVersion(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and the schema that it needs",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.stdout, "kindred %s (schema %d, %s, %s/%s)\n", version, migrations.Latest(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
