package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// minMajor is the oldest PostgreSQL that Kindred's schema works on.
const minMajor = 15

// binaries is the folder of one PostgreSQL installation's programs.
type binaries struct {
	dir   string
	major int
}

// ErrNoBinaries means that this machine has no PostgreSQL server that Kindred can use.
var ErrNoBinaries = errors.New("no PostgreSQL server programs here")

func (b binaries) program(name string) string { return filepath.Join(b.dir, name) }

// findBinaries looks where an operator, a distribution and a person put PostgreSQL: PG_BIN, the
// newest below /usr/lib/postgresql, PATH. A PG_BIN that is set but wrong is an error and no reason
// to look elsewhere: whoever set it meant that one. A major of 0 accepts any that is new enough.
func findBinaries(ctx context.Context, major int) (binaries, error) {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		b, err := probeBinaries(ctx, dir)
		if err != nil {
			return binaries{}, fmt.Errorf("PG_BIN: %w", err)
		}
		if !b.suits(major) {
			return binaries{}, fmt.Errorf("PG_BIN holds PostgreSQL %d, but %s is needed", b.major, wanted(major))
		}
		return b, nil
	}
	var found []int
	for _, dir := range candidateDirs() {
		b, err := probeBinaries(ctx, dir)
		if err != nil {
			continue
		}
		if b.suits(major) {
			return b, nil
		}
		found = append(found, b.major)
	}
	if len(found) > 0 {
		return binaries{}, fmt.Errorf("%w: found version %v, but %s is needed", ErrNoBinaries, found, wanted(major))
	}
	return binaries{}, ErrNoBinaries
}

func (b binaries) suits(major int) bool {
	return b.major >= minMajor && (major == 0 || b.major == major)
}

func wanted(major int) string {
	if major == 0 {
		return fmt.Sprintf("%d or newer", minMajor)
	}
	return strconv.Itoa(major)
}

func candidateDirs() []string {
	// Debian keeps one folder for each major version; as numbers, since 9 sorts behind 17 as text.
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	slices.SortFunc(dirs, func(a, b string) int { return versionOfDir(b) - versionOfDir(a) })
	if path, err := exec.LookPath("postgres"); err == nil {
		// The link's own folder need not hold initdb.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return dirs
}

func versionOfDir(bin string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return n
}

func probeBinaries(ctx context.Context, dir string) (binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return binaries{}, fmt.Errorf("find PostgreSQL programs: %w", err)
	}
	b := binaries{dir: dir}
	if _, err := os.Stat(b.program("initdb")); err != nil {
		return binaries{}, fmt.Errorf("find PostgreSQL programs: %w", err)
	}
	out, err := exec.CommandContext(ctx, b.program("postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	if _, err := fmt.Sscanf(string(out), "postgres (PostgreSQL) %d", &b.major); err != nil {
		return binaries{}, fmt.Errorf("ask PostgreSQL for its version: %q is no answer", out)
	}
	return b, nil
}
