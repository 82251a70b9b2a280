package testdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Proxy stands between a replica and PostgreSQL and passes everything on until a test tells it not
// to. Of the protocol it knows where a statement ends and when the server has answered it in full.
type Proxy struct {
	t                testing.TB
	db               *DB
	url              string
	network, address string

	mu        sync.Mutex
	fault     *Fault // the next one
	blackHole bool
	holes     int // how many there have been
}

// Fault happens once: at a statement that is about to reach the server, or that the server has
// answered, and so has committed if it commits, while the replica does not know yet.
type Fault struct {
	Statement string // a part of its text; empty: any. A ping is no statement.
	Nth       int    // which of these, counted from when the fault is set; 0 is the first
	Answered  bool
	Do        func(backend uint32) // at that moment; what it takes, statement and answer wait for
	Cut       bool                 // whether the connection then breaks, on both sides

	struck string // the statement that it happened to
}

// NewProxy starts a proxy in front of the database. It ends with the test, and its connections with it.
func NewProxy(t testing.TB, db *DB) *Proxy {
	t.Helper()
	server, err := pgx.ParseConfig(db.url)
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	p := &Proxy{t: t, db: db, url: proxyURL(db.url, listener.Addr().String())}
	p.network, p.address = pgconn.NetworkAddress(server.Host, server.Port)
	// Not the test's context: the replicas that go through here are closed by cleanups of the test.
	ctx, cancel := context.WithCancel(context.Background())
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { p.serve(ctx, client) })
		}
	})
	t.Cleanup(func() {
		cancel()
		listener.Close()
		connections.Wait()
	})
	return p
}

// URL is the database's address through the proxy.
func (p *Proxy) URL() string { return p.url }

// Set arms a fault in place of the one before. The function that it returns disarms it and tells the
// text of the statement that it happened to, empty if it did not.
func (p *Proxy) Set(f Fault) (struck func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = &f
	return func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.fault == &f {
			p.fault = nil
		}
		return f.struck
	}
}

// Terminate ends a backend, as an operator does, and returns when it has gone.
func (p *Proxy) Terminate(backend uint32) {
	// Not the test's context: the replica notices first, and that may be all that the test waits for.
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := execOn(ctx, p.db.url, "SELECT pg_terminate_backend($1, $2)", int32(backend), limit.Milliseconds()); err != nil {
		p.t.Errorf("testdb: terminate a backend: %v", err)
	}
}

// Swallow makes a black hole of the network: connections stand, new ones are accepted, and nothing
// that is sent on them ever arrives.
func (p *Proxy) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blackHole = true
	p.holes++
}

// Heal ends it for new connections. The others stay dead and do not say so, and the server goes on
// waiting at their other end.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blackHole = false
}

// state tells whether there is a black hole now, and how many there have been.
func (p *Proxy) state() (blackHole bool, holes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blackHole, p.holes
}

// due returns the fault that happens to this statement, and takes it down.
func (p *Proxy) due(statement string) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fault
	if f == nil || statement == "" || strings.HasPrefix(statement, "--") || !strings.Contains(statement, f.Statement) {
		return nil
	}
	if f.Nth--; f.Nth > 0 {
		return nil
	}
	p.fault, f.struck = nil, statement
	return f
}

// relay is one connection through the proxy.
type relay struct {
	proxy          *Proxy
	client, server net.Conn
	backend        atomic.Uint32
	awaited        atomic.Pointer[Fault] // happens when the server has answered
	holes          int                   // that there were when it began
}

// dead tells whether the connection was there in a black hole.
func (r *relay) dead() bool {
	_, holes := r.proxy.state()
	return holes != r.holes
}

func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer closeWith(ctx, client)()
	blackHole, holes := p.state()
	if blackHole {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := new(net.Dialer).DialContext(ctx, p.network, p.address)
	if err != nil {
		return
	}
	defer closeWith(ctx, server)()
	r := &relay{proxy: p, client: client, server: server, holes: holes}
	var answers sync.WaitGroup
	answers.Go(r.passAnswers)
	r.passStatements()
	answers.Wait()
}

// closeWith closes a connection when ctx ends or the returned function is called.
func closeWith(ctx context.Context, conn net.Conn) (now func()) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return func() { stop(); conn.Close() }
}

// passStatements passes on what the client sends, a whole statement at a time.
func (r *relay) passStatements() {
	in := bufio.NewReader(r.client)
	prepared := map[string]string{}
	var unit []byte
	var statement string
	for typed := 0; ; typed = 1 { // the first message of a connection has no type
		message, err := readMessage(in, typed)
		if err != nil {
			break
		}
		unit = append(unit, message...)
		if typed == 1 {
			switch body := message[5:]; message[0] {
			case 'P': // Parse
				prepared[text(body, 0)] = text(body, 1)
				continue
			case 'B': // Bind: portal, prepared statement
				statement = prepared[text(body, 1)]
				continue
			case 'C', 'D', 'E': // Close, Describe, Execute: the statement goes on until Sync
				continue
			case 'Q':
				statement = text(body, 0)
			}
		}
		if !r.passStatement(unit, statement) {
			break
		}
		unit, statement = nil, ""
	}
	if !r.dead() {
		r.server.Close()
	}
}

func (r *relay) passStatement(unit []byte, statement string) bool {
	fault := r.proxy.due(statement)
	if fault != nil && fault.Answered {
		r.awaited.Store(fault)
	} else if fault != nil && r.suffer(fault) {
		return false
	}
	r.pass(r.server, unit) // the server tells a client that it has gone
	return true
}

// passAnswers passes on what the server sends. While a fault waits for the end of an answer nothing
// of it is passed on.
func (r *relay) passAnswers() {
	in := bufio.NewReader(r.server)
	var held []byte
	for {
		message, err := readMessage(in, 1)
		if err != nil {
			r.pass(r.client, held)
			break
		}
		if message[0] == 'K' { // BackendKeyData
			r.backend.Store(binary.BigEndian.Uint32(message[5:]))
		}
		held = append(held, message...)
		fault := r.awaited.Load()
		if fault != nil && message[0] != 'Z' { // ReadyForQuery
			continue
		}
		if fault != nil && r.suffer(fault) {
			break
		}
		r.awaited.Store(nil)
		r.pass(r.client, held)
		held = nil
	}
	if !r.dead() {
		r.client.Close()
	}
}

// suffer lets a fault happen and tells whether the connection is broken by it.
func (r *relay) suffer(f *Fault) (cut bool) {
	if f.Do != nil {
		f.Do(r.backend.Load())
	}
	if f.Cut {
		r.client.Close()
		r.server.Close()
	}
	return f.Cut
}

// pass ignores that the other side has gone: whoever reads from there notices.
func (r *relay) pass(to net.Conn, b []byte) {
	if !r.dead() {
		_, _ = to.Write(b)
	}
}

// readMessage reads one message of the protocol: a type, which is absent from the first of a
// connection, and a length that counts itself and what follows.
func readMessage(in *bufio.Reader, typed int) ([]byte, error) {
	head, err := in.Peek(typed + 4)
	if err != nil {
		return nil, err
	}
	message := make([]byte, typed+int(binary.BigEndian.Uint32(head[typed:])))
	_, err = io.ReadFull(in, message)
	return message, err
}

// text is the nth of the strings that a message begins with.
func text(body []byte, n int) string {
	return string(bytes.SplitN(body, []byte{0}, n+2)[n])
}

// proxyURL is base by way of address. Without TLS, which nobody can look into.
func proxyURL(base, address string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // base was used before
	}
	query := u.Query()
	query.Del("host")
	query.Del("port")
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = address, query.Encode()
	return u.String()
}
