package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"kindred/migrations"
)

func newVersion(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, what it was built from and the schema that it needs",
		Long: "Prints the version, the commit and its date, the schema that it needs, Go's version and the platform.\n" +
			"The date is the commit's and not the day of the build, so that the same source gives the same binary.",
		Args: cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		info, _ := debug.ReadBuildInfo()
		built := describeBuild(info)
		return out.print(struct {
			Version string `json:"version"`
			build
			Schema   int64  `json:"schema"`
			Platform string `json:"platform"`
		}{version, built, migrations.Latest(), runtime.GOOS + "/" + runtime.GOARCH},
			"kindred %s (%s, schema %d, %s, %s/%s)\n",
			version, built, migrations.Latest(), built.Go, runtime.GOOS, runtime.GOARCH)
	}
	return cmd
}

// build says what a binary was made from.
type build struct {
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // there were changes that were not committed
	Go       string `json:"go"`
}

// describeBuild reads what `go build` notes of a working copy. Outside of one, or if told not to, it notes nothing of it.
func describeBuild(info *debug.BuildInfo) (b build) {
	if info == nil {
		return b
	}
	b.Go = info.GoVersion
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Date = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	const enough = 12 // digits, to find a commit by
	switch {
	case b.Commit == "":
		return "commit unknown"
	case b.Modified:
		return "commit " + b.Commit[:min(enough, len(b.Commit))] + " of " + b.Date + " and changes"
	}
	return "commit " + b.Commit[:min(enough, len(b.Commit))] + " of " + b.Date
}
