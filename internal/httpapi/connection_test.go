package httpapi

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
