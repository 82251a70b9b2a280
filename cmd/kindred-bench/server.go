package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// server is a program of ours that serves HTTP in a process of its own.
type server struct {
	address string
	began   time.Time
	memory  *memory // nil where it cannot be measured
	log     string  // the file that it writes to, as servers do
	cancel  context.CancelFunc
	done    chan struct{} // closed once it has ended
}

// awaitPause is short beside the time that a server takes to start.
const awaitPause = 2 * time.Millisecond

var (
	listening = regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)
	errorLine = regexp.MustCompile(`\n.*"level":"ERROR".*`)
)

// startServer runs a program with exactly this environment, in a folder without a .env, and returns
// when it listens.
func startServer(ctx context.Context, dir, name string, environ []string, program string, args ...string) (*server, error) {
	s := &server{log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	file, err := os.Create(s.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer file.Close()
	ctx, s.cancel = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, environ, file
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	s.began = time.Now()
	if err := cmd.Start(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if m, err := memoryOf(cmd.Process.Pid); err == nil {
		s.memory = &m
	}
	go func() {
		defer close(s.done)
		_ = cmd.Wait() // an end that nobody asked for shows in the requests and in the log
	}()
	if err := s.awaitListening(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return s, nil
}

func (s *server) awaitListening(ctx context.Context) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		text, err := os.ReadFile(s.log)
		if err != nil {
			return err
		}
		if match := listening.FindSubmatch(text); match != nil {
			s.address = string(match[1])
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("it ended: %s", text)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(awaitPause):
		}
	}
}

// stop ends the process and returns when it is gone.
func (s *server) stop() {
	s.cancel()
	<-s.done
}

// complaints are the last errors in its log, on lines of their own.
func (s *server) complaints() string {
	const most = 3
	text, err := os.ReadFile(s.log)
	if err != nil {
		return "\n" + err.Error()
	}
	found := errorLine.FindAllString(string(text), -1)
	return strings.Join(found[max(0, len(found)-most):], "")
}
