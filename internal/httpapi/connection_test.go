package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestServeHTTP_ConnectionsThatEndWithTheirAnswer(t *testing.T) {
	t.Parallel()
	const post = "POST / HTTP/1.1\r\nHost: id.example\r\n"
	for name, request := range map[string]struct {
		text     string
		draining bool
		ends     bool
	}{
		"a length":            {text: post + "Content-Length: 2\r\n\r\n{}"},
		"chunks":              {text: post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ends: true},
		"chunks and a length": {text: post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", ends: true},
		"HTTP/1.0 kept alive": {text: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ends: true},
		"while draining":      {text: "GET / HTTP/1.1\r\nHost: id.example\r\n\r\n", draining: true, ends: true},
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request.text)))
		if err != nil {
			t.Fatal(err)
		}
		a := &API{handler: http.NotFoundHandler()}
		if request.draining {
			a.Drain()
		}
		answer := httptest.NewRecorder()
		a.ServeHTTP(answer, r)
		if ends := answer.Header().Get("Connection") == "close"; ends != request.ends {
			t.Errorf("%s: the connection ends: %t, want %t", name, ends, request.ends)
		}
	}
}

// HTTP/2 has no such header: the library makes it a GOAWAY.
func TestServeHTTP_ConnectionsOfHTTP2EndWhileDraining(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	a := &API{handler: http.NotFoundHandler()}
	server := httptest.NewUnstartedServer(a)
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	ask := func() {
		t.Helper()
		response, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.ProtoMajor != 2 || response.Header.Get("Connection") != "" {
			t.Errorf("%s %v, error %v", response.Proto, response.Header, err)
		}
		response.Body.Close()
	}
	ask()
	ask()
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections before the drain", n)
	}
	a.Drain()
	ask() // its connection is told to go
	for deadline := time.Now().Add(10 * time.Second); opened.Load() == 1; ask() {
		if time.Now().After(deadline) {
			t.Fatal("the connection goes on")
		}
	}
}
