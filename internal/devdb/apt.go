package devdb

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// ErrCannotInstall means that this machine is not one where Install does anything.
var ErrCannotInstall = errors.New("not root on Debian or Ubuntu")

// Install installs the distribution's PostgreSQL with apt, as root on Debian or Ubuntu and nowhere
// else, and tells log before it begins. The package's own cluster is neither made nor started: only
// the programs are wanted. Of several processes at once one installs and the others wait for it.
func Install(ctx context.Context, log func(string)) error {
	if os.Geteuid() != 0 || !debianLike() {
		return ErrCannotInstall
	}
	unlock, err := waitForInstaller()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := findBinaries(ctx, 0); err == nil {
		return nil // another process has done it while we waited
	}
	log("no PostgreSQL here: installing the distribution's package postgresql with apt-get")
	if err := apt(ctx, "update"); err != nil {
		return err
	}
	if err := apt(ctx, "install", "--download-only", "postgresql"); err != nil {
		return err
	}
	return installPrograms(context.WithoutCancel(ctx)) // dpkg must not be cut off in the middle
}

func installPrograms(ctx context.Context) error {
	// This package brings the file that decides whether the other makes a cluster.
	if err := apt(ctx, "install", "postgresql-common"); err != nil {
		return err
	}
	restore, err := forbidMainCluster()
	if err != nil {
		return err
	}
	return errors.Join(apt(ctx, "install", "postgresql"), restore())
}

func debianLike() bool {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return false
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return false
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		if name != "ID" && name != "ID_LIKE" {
			continue
		}
		for word := range strings.FieldsSeq(strings.Trim(value, `"'`)) {
			if word == "debian" || word == "ubuntu" {
				return true
			}
		}
	}
	return false
}

func waitForInstaller() (unlock func(), err error) {
	file, err := os.OpenFile("/run/kindred-install.lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the installation: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock the installation: %w", err)
	}
	return func() { file.Close() }, nil
}

// forbidMainCluster tells postgresql-common, for the time of the installation, not to make a cluster
// named main. The file is the machine owner's, and restore puts it back as it was.
func forbidMainCluster() (restore func() error, err error) {
	const file = "/etc/postgresql-common/createcluster.conf"
	before, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("prepare the installation: %w", err)
	}
	if err := os.WriteFile(file, append(bytes.Clone(before), "\ncreate_main_cluster = false\n"...), 0o644); err != nil {
		return nil, fmt.Errorf("prepare the installation: %w", err)
	}
	return func() error { return os.WriteFile(file, before, 0o644) }, nil
}

func apt(ctx context.Context, command string, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{
		"--yes", "--no-install-recommends",
		"--option", "DPkg::Lock::Timeout=120", // on a fresh machine the daily update often is at work
		command}, args...)...)
	// The package's scripts would ask on a terminal, and there is nobody to answer.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if err := run(cmd, nil); err != nil {
		return fmt.Errorf("install PostgreSQL: %w", err)
	}
	return nil
}
