package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kindred/internal/testdb"
)

// hidden is what an attacker would have read as a request of somebody else's; it ends a connection that goes on.
const hidden = "GET /livez HTTP/1.1\r\nHost: id.example\r\nConnection: close\r\n\r\n"

// framings are heads whose end two parsers might see in two places, with a request hidden behind one of
// them. No server may answer that one, and it hangs up so that nothing else is read as one.
var framings = []struct {
	name, head, body string
	status           int
}{
	{"a length and chunks", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + hidden, http.StatusUnauthorized},
	{"chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n" + hidden, http.StatusUnauthorized},
	{"chunks alone", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n" + hidden, http.StatusUnauthorized},
	{"chunks on the next line", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n" + hidden, http.StatusUnauthorized},
	{"two lengths", "Content-Length: 0\r\nContent-Length: 62\r\n", hidden, http.StatusBadRequest},
	{"a list of lengths", "Content-Length: 0, 62\r\n", hidden, http.StatusBadRequest},
	{"a length with a sign", "Content-Length: +0\r\n", hidden, http.StatusBadRequest},
	{"a length on two lines", "Content-Length: 0\r\n 1\r\n", hidden, http.StatusBadRequest},
	{"a length that is none", "Content-Length: 0x0\r\n", hidden, http.StatusBadRequest},
	{"a blank before the colon", "Content-Length : 62\r\n", hidden, http.StatusBadRequest},
	{"chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + hidden, http.StatusNotImplemented},
	{"chunks in a list", "Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n" + hidden, http.StatusNotImplemented},
	{"an unknown encoding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + hidden, http.StatusNotImplemented},
	{"chunks that end in a bare LF", "Transfer-Encoding: chunked\r\n", "0\n\r\n" + hidden, http.StatusBadRequest},
	{"a chunk's size that is none", "Transfer-Encoding: chunked\r\n", "-1\r\n\r\n" + hidden, http.StatusBadRequest},
	{"NUL in a value", "X-A: a\x00b\r\n", hidden, http.StatusBadRequest},
	{"CR in a value", "X-A: a\rContent-Length: 62\r\n", hidden, http.StatusBadRequest},
	{"a line without a colon", "Content-Length 62\r\n", hidden, http.StatusBadRequest},
	{"a continuation of nothing", " Content-Length: 62\r\n", hidden, http.StatusBadRequest},
	{"two hosts", "Host: other.example\r\n", hidden, http.StatusBadRequest},
}

func TestServe_NothingIsReadBehindAnAmbiguousRequest(t *testing.T) {
	t.Parallel()
	s := startServing(t, serveEnvironment(testdb.New(t).URL()))
	for _, framing := range framings {
		answer := s.raw(t, "POST /token HTTP/1.1\r\nHost: id.example\r\n"+framing.head+"\r\n"+framing.body)
		wantOneAnswer(t, framing.name, answer, framing.status)
	}
	wantOneAnswer(t, "chunks in HTTP/1.0", s.raw(t, "POST /token HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"+hidden), http.StatusUnauthorized)
	wantOneAnswer(t, "no host", s.raw(t, "GET /livez HTTP/1.1\r\n\r\n"+hidden), http.StatusBadRequest)
	// The test shows something: of what is clear, the next is read.
	if clear := s.raw(t, strings.Replace(hidden, "close", "keep-alive", 1)+hidden); strings.Count(clear, "HTTP/1.1 200") != 2 {
		t.Errorf("two clear requests were answered %q", clear)
	}
}

func wantOneAnswer(t *testing.T, name, answer string, status int) {
	t.Helper()
	if strings.Count(answer, "HTTP/1.") != 1 || !strings.HasPrefix(answer[strings.Index(answer, " ")+1:], fmt.Sprint(status)) {
		t.Errorf("%s: want one answer %d, not %q", name, status, answer)
	}
}

func (s *serving) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // should it not hang up
		t.Fatal(err)
	}
	return conn
}

// raw sends bytes, and returns all that comes until the server hangs up.
func (s *serving) raw(t testing.TB, text string) string {
	t.Helper()
	conn := s.dial(t)
	go func() { _, _ = io.WriteString(conn, text) }() // whoever is refused early may not get it all out
	answer, err := io.ReadAll(conn)
	if len(answer) == 0 || isTimeout(err) {
		t.Errorf("%.80q: %q and then %v", text, answer, err)
	}
	return string(answer)
}

func isTimeout(err error) bool {
	timeout, is := err.(net.Error) //nolint:errorlint // net's own
	return is && timeout.Timeout()
}

func TestServe_OneMebibyteOfHeadersAtMost(t *testing.T) {
	t.Parallel()
	s := startServing(t, serveEnvironment(testdb.New(t).URL()))
	const start, end = "GET /livez HTTP/1.1\r\nHost: id.example\r\nConnection: close\r\nX-A: ", "\r\n\r\n"
	for length, status := range map[int]int{1<<20 - 8192: http.StatusOK, 1<<20 + 1: http.StatusRequestHeaderFieldsTooLarge} {
		head := start + strings.Repeat("a", length-len(start)-len(end)) + end
		wantOneAnswer(t, fmt.Sprintf("%d bytes", length), s.raw(t, head), status)
	}
}

// A client that stops in the middle of a head or a body costs a connection for no longer than the time-outs.
// One that waits between two requests keeps it.
func TestServe_SlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	s := startServing(t, serveEnvironment(testdb.New(t).URL(), "REQUEST_TIMEOUT=500ms"))
	waiting := s.keepAlive(t)
	waiting.livez(t)
	wantOneAnswer(t, "half a body", s.raw(t, "POST /token HTTP/1.1\r\nHost: id.example\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\nhalf"), http.StatusRequestTimeout)
	for _, part := range []string{"", "GET /livez HTT", "GET /livez HTTP/1.1\r\nHost: id.example\r\nX-A: "} {
		conn := s.dial(t)
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
		// net/http says 400 where it has read something.
		if answer, err := io.ReadAll(conn); isTimeout(err) || len(answer) != 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("after %q: %q, %v", part, answer, err)
		}
	}
	if waiting.livez(t).Close { // all the others' time-outs later
		t.Error("a connection between two requests was closed")
	}
}

// kept is a connection that is used for one request after the other.
type kept struct {
	net.Conn
	answers *bufio.Reader
}

func (s *serving) keepAlive(t testing.TB) kept {
	t.Helper()
	conn := s.dial(t)
	return kept{conn, bufio.NewReader(conn)}
}

// livez must be answered 200.
func (k kept) livez(t testing.TB) *http.Response {
	t.Helper()
	if _, err := io.WriteString(k, strings.Replace(hidden, "close", "keep-alive", 1)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(k.answers, nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, error %v", response, err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response
}

// A balancer's idle connections are not closed under a request that is on its way: they end with the next
// answer, for as long as the balancer may not have noticed.
func TestServe_ConnectionsEndBetweenRequestsWhenItLeaves(t *testing.T) {
	t.Parallel()
	s := startServing(t, serveEnvironment(testdb.New(t).URL(), "DRAIN_DELAY=2s"))
	idle, busy := s.keepAlive(t), s.keepAlive(t)
	for _, connection := range []kept{idle, busy} {
		if connection.livez(t).Close {
			t.Error("a connection is not kept")
		}
	}
	s.terminate(t)
	s.logs.await(t, `(draining)`)
	for name, connection := range map[string]kept{"that was idle": idle, "that is new": s.keepAlive(t)} {
		if !connection.livez(t).Close {
			t.Errorf("the answer on a connection %s does not say that it ends", name)
		}
		if rest, err := io.ReadAll(connection.answers); err != nil || len(rest) != 0 {
			t.Errorf("behind the last answer: %q, %v", rest, err)
		}
	}
	ready := s.get(t, "/readyz", "")
	if ready.status != http.StatusServiceUnavailable || ready.header.Get("Retry-After") == "" {
		t.Errorf("/readyz: %d, Retry-After %q", ready.status, ready.header.Get("Retry-After"))
	}
	// What stays idle all the while ends with the listener.
	if rest, err := io.ReadAll(busy.answers); err != nil || len(rest) != 0 {
		t.Errorf("on the idle connection: %q, %v", rest, err)
	}
	s.stopped(t)
}
