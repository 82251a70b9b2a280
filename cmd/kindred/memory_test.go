package main

import (
	"testing"

	"kindred/internal/testdb"
)

// What an operator sets in Go's own variables stands; the rest is what serve goes by.
func TestServe_MemoryIsBoundedAsTheOperatorSays(t *testing.T) {
	t.Parallel()
	environ := append(serveEnvironment(testdb.New(t).URL()), "LOG_LEVEL=debug")
	ours := startServing(t, environ)
	if gogc := ours.logs.await(t, `"msg":"memory","limit_mib":[0-9]+,"gogc":"([0-9]+)"`); gogc != "300" {
		t.Errorf("GOGC %s", gogc)
	}
	theirs := startServing(t, append(environ, "GOGC=77", "GOMEMLIMIT=512MiB"))
	theirs.logs.await(t, `"msg":"memory","limit_mib":(512),"gogc":"77"`)
}
