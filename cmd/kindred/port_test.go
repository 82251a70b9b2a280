//go:build pgbouncer || clients || balancer

package main

import (
	"net"
	"testing"
)

// freePort is for what must know its address before it listens.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
