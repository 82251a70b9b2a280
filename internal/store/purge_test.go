package store_test

import (
	"strings"
	"testing"

	"kindred/internal/store"
	"kindred/internal/testdb"
)

// What is compared with a volatile function is no condition of an index: the purge of a large table that has
// nothing to delete would read all of it, each hour.
func TestPurge_SearchesTheIndexOfWhatHasEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ prepared, arguments, index string }{
		"families":    {`dead (interval, int) AS ` + store.DeadFamilies, `'1 day', 1000`, "(expires_on < "},
		"revocations": {`past (int) AS ` + store.PurgeRevocations, `1000`, "(until < "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			login(t, open(t, db, nil))
			db.Exec(t, `
				INSERT INTO token_families (id, user_id, client_id, created_at, auth_time, expires_at, expires_on, current_token_id,
				       current_hash, rotated_at, idle_expires_at, access_until)
				SELECT gen_random_uuid(), f.user_id, f.client_id, f.created_at, f.auth_time, f.expires_at, f.expires_on, gen_random_uuid(),
				       f.current_hash, f.rotated_at, f.idle_expires_at, f.access_until
				  FROM token_families f, generate_series(1, 20000)`)
			db.Exec(t, `INSERT INTO revocations (kind, subject, until) SELECT 'family', gen_random_uuid(), clock_timestamp() FROM generate_series(1, 20000)`)
			db.Exec(t, `ANALYZE`)
			plan := explainStatement(t, db, "force_generic_plan", c.prepared, c.arguments)
			if conditions := plan.conditions(); !strings.Contains(strings.Join(conditions, "\n"), c.index) {
				t.Errorf("indexes are searched for %q, want %s…", conditions, c.index)
			}
		})
	}
}

// conditions lists what indexes are searched for.
func (n planNode) conditions() []string {
	var found []string
	if n.Cond != "" {
		found = append(found, n.Cond)
	}
	for _, child := range n.Plans {
		found = append(found, child.conditions()...)
	}
	return found
}
