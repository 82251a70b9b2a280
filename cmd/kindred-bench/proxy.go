package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// proxy stands between a server and PostgreSQL and counts the statements that pass, BEGIN and COMMIT
// among them: what the server really sends, whatever its code says.
type proxy struct {
	listener   net.Listener
	target     string
	statements atomic.Int64
	open       sync.WaitGroup
}

// startProxy returns a proxy to the PostgreSQL of a URL without TLS. The end of ctx cuts what passes.
func startProxy(ctx context.Context, databaseURL string) (p *proxy, through string, err error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, "", fmt.Errorf("start proxy: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("start proxy: %w", err)
	}
	p = &proxy{listener: listener, target: u.Host}
	u.Host = listener.Addr().String()
	p.open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // it was closed
			}
			p.open.Go(func() { p.pass(ctx, conn) })
		}
	})
	return p, u.String(), nil
}

// close ends the proxy once the server that goes through it has hung up.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.open.Wait()
}

func (p *proxy) pass(ctx context.Context, client net.Conn) {
	defer client.Close()
	database, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer database.Close()
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	var answers sync.WaitGroup
	answers.Go(func() { _, _ = io.Copy(client, database); _ = client.Close() })
	_ = p.count(database, client)
	_ = database.Close()
	answers.Wait()
}

// count passes on what a client says, message by message (PostgreSQL 15, §55.7): a type, except in the
// first message, the length of itself and what follows, and that.
func (p *proxy) count(database io.Writer, client io.Reader) error {
	const most = 32 // that need to be looked at
	messages, head := bufio.NewReader(client), 4
	for {
		start, err := messages.Peek(head)
		if err != nil {
			return err
		}
		length := head - 4 + int(binary.BigEndian.Uint32(start[head-4:]))
		if start, err = messages.Peek(min(length, most)); err != nil {
			return err
		}
		if head == 5 && isStatement(start) {
			p.statements.Add(1)
		}
		if _, err := io.CopyN(database, messages, int64(length)); err != nil {
			return err
		}
		head = 5
	}
}

// isStatement: Query and Execute each run one. pgx asks a connection that was idle for a second by an
// empty Query whether it still stands; that belongs to no request.
func isStatement(message []byte) bool {
	return message[0] == 'E' || message[0] == 'Q' && string(message[5:]) != "-- ping\x00"
}
