package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// statusError is an answer with another status than the one that is wanted.
type statusError struct {
	status, want int
	body         string
	retryAfter   time.Duration
}

func (e *statusError) Error() string {
	return fmt.Sprintf("status %d, want %d: %s", e.status, e.want, e.body)
}

// client is one keep-alive connection on which one request follows another. net/http's own client
// hands each request to two more goroutines, and that time is taken from the cores that the server
// shares with it.
type client struct {
	conn    net.Conn
	answers *bufio.Reader
	unwatch func() bool
}

// dial connects. The end of ctx closes the connection.
func dial(ctx context.Context, address string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReader(conn), context.AfterFunc(ctx, func() { _ = conn.Close() })}, nil
}

func (c *client) close() {
	c.unwatch()
	_ = c.conn.Close()
}

func (c *client) post(path, body string, want int) ([]byte, error) {
	headers := "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	return c.do("POST", path, headers, body, want)
}

func (c *client) get(path, accessToken string) ([]byte, error) {
	return c.do("GET", path, "Authorization: Bearer "+accessToken+"\r\n", "", http.StatusOK)
}

// do returns the body of the answer. Any other status than the one that is wanted is a
// *statusError.
func (c *client) do(method, path, headers, body string, want int) ([]byte, error) {
	const patience = 10 * time.Second // twice what the server gives itself
	failed := func(err error) ([]byte, error) { return nil, fmt.Errorf("%s %s: %w", method, path, err) }
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return failed(err)
	}
	request := method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + userAgent + "\r\n" + headers + "\r\n" + body
	if _, err := io.WriteString(c.conn, request); err != nil {
		return failed(err)
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return failed(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return failed(err)
	}
	if answer.StatusCode != want {
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After")) // 0 where there is none
		return failed(&statusError{answer.StatusCode, want, string(text), time.Duration(seconds) * time.Second})
	}
	return text, nil
}
