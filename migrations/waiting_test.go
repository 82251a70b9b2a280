package migrations_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kindred/internal/testdb"
	"kindred/migrations"
)

// holdUp reads a table that a pending migration alters, in a transaction that stays open.
func holdUp(t *testing.T, db *testdb.DB) (pid uint32, release func()) {
	t.Helper()
	if err := migrations.UpTo(t.Context(), db.URL(), 9); err != nil {
		t.Fatal(err)
	}
	conn := db.Conn(t)
	for _, statement := range []string{`SET application_name = 'a long report'`, `BEGIN`, `SELECT FROM token_families`} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return conn.PgConn().PID(), func() {
		if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
			t.Error(err)
		}
	}
}

func TestUp_TriesAgainWhenALockKeptItOut(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	pid, release := holdUp(t, db)
	var told []string
	err := migrations.UpWithin(t.Context(), db.URL(), 3, time.Millisecond, func(string) {}, func(line string) {
		told = append(told, line)
		release()
	})
	if err != nil {
		t.Fatal(err)
	}
	if who := fmt.Sprintf("pid %d (a long report,", pid); len(told) != 1 || !strings.Contains(told[0], who) || !strings.Contains(told[0], "2 of 3") {
		t.Errorf("told %q, want once with %q", told, who)
	}
}

func TestUp_GivesUpAndNamesWhoHoldsTheLock(t *testing.T) {
	t.Parallel()
	db := testdb.Empty(t)
	pid, release := holdUp(t, db)
	defer release()
	err := migrations.UpWithin(t.Context(), db.URL(), 1, 0, func(string) {}, func(line string) { t.Errorf("told %q", line) })
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("end pid %d (a long report,", pid)) || !strings.Contains(err.Error(), "in a transaction for") {
		t.Errorf("error %v", err)
	}
	if list, err := migrations.Status(t.Context(), db.URL()); err != nil || !list[8].Applied || list[9].Applied {
		t.Errorf("status %v, error %v", list, err)
	}
}
