package devdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a program that runs in the background and ends with ours.
type process struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed once it has been waited for; err is set before
	err    error
	asked  atomic.Bool   // its end is one that we asked for
	failed chan struct{} // closed when it ended without having been asked to
}

// spawn starts cmd in a process group of its own, so that a Ctrl-C in the terminal reaches only us
// and we end it when we no longer need it. If we die first it is sent onDeath, where the system can.
func spawn(cmd *exec.Cmd, cred *syscall.Credential, onDeath syscall.Signal) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	endWithParent(cmd.SysProcAttr, onDeath)
	p := &process{cmd: cmd, done: make(chan struct{}), failed: make(chan struct{})}
	started := make(chan error)
	go func() {
		// "Parent" means the thread that forked: it has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		if !p.asked.Load() {
			close(p.failed)
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	return p, nil
}

// ask sends a signal that is meant to end the process, now or when it is done with its work.
func (p *process) ask(s os.Signal) error {
	p.asked.Store(true)
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", filepath.Base(p.cmd.Path), err)
	}
	return nil
}

// endNow does not wait for a server's clients, and not for ever either.
func (p *process) endNow() error {
	const patience = 10 * time.Second // PostgreSQL itself kills what is left of it after five
	if err := p.ask(syscall.SIGQUIT); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
	}
	err := p.ask(syscall.SIGKILL)
	<-p.done
	return err
}

// run waits for cmd to end, which it does at the latest when we die. The error holds the last lines
// of what it printed.
func run(cmd *exec.Cmd, cred *syscall.Credential) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := spawn(cmd, cred, syscall.SIGKILL)
	if err != nil {
		return err
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), p.err, lastLines(out.Bytes(), 6))
	}
	return nil
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// serverCredential is who PostgreSQL runs as: nil for ourselves, and a system user where we are
// root, because PostgreSQL refuses to run as root.
func serverCredential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}
