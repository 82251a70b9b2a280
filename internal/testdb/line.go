package testdb

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Line is a way to a database that can be held up without being cut: connections stand, new ones are
// accepted, and nothing comes through, as where a firewall drops packets.
type Line struct {
	url  string
	mu   sync.Mutex
	held chan struct{} // nil where data passes
}

// Line opens a way to the database, which is gone when the test ends.
func (db *DB) Line(t testing.TB) *Line {
	t.Helper()
	u, err := url.Parse(db.url)
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	server := u.Host
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	u.Host = listener.Addr().String()
	l := &Line{url: u.String()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { l.accept(ctx, listener, server, &running) })
	t.Cleanup(func() { cancel(); listener.Close(); running.Wait() })
	return l
}

// URL is the database's address by this way.
func (l *Line) URL() string { return l.url }

// Hold lets nothing through until Release.
func (l *Line) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = make(chan struct{})
}

// Release lets through what was held up, and what comes.
func (l *Line) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held)
	l.held = nil
}

func (l *Line) accept(ctx context.Context, listener net.Listener, server string, running *sync.WaitGroup) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := new(net.Dialer).DialContext(ctx, "tcp", server)
		if err != nil {
			near.Close()
			continue
		}
		context.AfterFunc(ctx, func() { near.Close(); far.Close() })
		running.Go(func() { l.pass(ctx, far, near) })
		running.Go(func() { l.pass(ctx, near, far) })
	}
}

func (l *Line) pass(ctx context.Context, to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.mu.Lock()
		held := l.held
		l.mu.Unlock()
		if held != nil {
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		if _, err := io.Copy(to, bytes.NewReader(buffer[:n])); err != nil {
			return
		}
	}
}
