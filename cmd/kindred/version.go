package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"kindred/migrations"
)

func newVersion(p process) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version and the schema that it needs", Args: cobra.NoArgs}
	out := newPrinter(p, cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		platform := runtime.GOOS + "/" + runtime.GOARCH
		return out.print(struct {
			Version  string `json:"version"`
			Schema   int64  `json:"schema"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{version, migrations.Latest(), runtime.Version(), platform},
			"kindred %s (schema %d, %s, %s)\n", version, migrations.Latest(), runtime.Version(), platform)
	}
	return cmd
}
