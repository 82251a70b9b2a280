package main

import (
	"net/http"
	"testing"
	"time"

	"kindred/internal/testdb"
)

func TestPurge_DeletesWhatHasEnded(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	addUser(t, db.URL(), "ana")
	s := startServing(t, serveEnvironment(db.URL(), "FAMILY_MAX_LIFETIME=48h"))
	wantStatus(t, s.login(t, "ana"), http.StatusOK)
	s.terminate(t)
	o := newTerminal(t, db)
	o.want(0, "deleted 0 sessions, dropped 0 partitions", "", "purge")
	db.Advance(t, 30*24*time.Hour)
	wantMembers(t, o.json("", "purge")[0], map[string]any{"families": 1})
	wantMembers(t, o.json("", "purge")[0], map[string]any{"families": 0, "partitions": []any{}})
	wantMembers(t, o.json("", "events", "--kind=purged", "--limit=1")[0], map[string]any{"kind": "purged", "actor": "cli"})
}
