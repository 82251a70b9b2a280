package auth_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/store"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

func quiet(int) {}

func onCommandLine() auth.Caller { return auth.Caller{Actor: audit.ByCLI} }

// newOperator runs a command beside the servers: with the database's address and no secret.
func newOperator(t testing.TB, db *testdb.DB) *auth.Service {
	t.Helper()
	return newReplica(t, db).Service
}

// trouble is what a server is told of the database.
func trouble(t testing.TB, db *testdb.DB) error {
	t.Helper()
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 5 * time.Second, MaxLifetime: time.Hour, AtHome: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, err = st.Now(t.Context())
	return err
}

func wantElsewhere(t testing.TB, err error, guarding bool) {
	t.Helper()
	var elsewhere *store.InstallationError
	if !errors.As(err, &elsewhere) || elsewhere.Guarding != guarding || !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("a server is told %v", err)
	}
}

func TestGuardRestore_EndsFamiliesTokensAndKeys(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newFed(t, db)
	ana, bob := r.addUser(t, "ana"), r.addUser(t, "bob")
	tokens := []auth.Tokens{r.login(t, "ana"), r.login(t, "ana"), r.login(t, "bob")}
	first := keyOf(t, tokens[0])
	second := r.rotate(t) // published, and to sign later
	link := r.resetToken(t, "bob")

	guarded, err := newOperator(t, db).GuardRestore(t.Context(), onCommandLine(), quiet)
	if err != nil || guarded.Families != 3 || len(guarded.Keys) != 2 {
		t.Fatalf("guarded %+v, %v", guarded, err)
	}
	r.hear(t)
	for _, had := range tokens {
		r.wantSignedOut(t, had)
		r.wantRefused(t, had.RefreshToken)
	}
	for _, user := range []string{ana.ID.String(), bob.ID.String()} {
		if n := one[int](t, db, `SELECT count(*) FROM token_families WHERE user_id = $1 AND revoked_reason = 'restore_guard' AND revoked_by = 'cli'`, user); n == 0 {
			t.Errorf("no family of %s has the reason", user)
		}
	}
	wantError(t, r.ResetPassword(t.Context(), caller, link, otherPassword), auth.ErrInvalidResetToken)
	// Whoever verifies by itself needs a key that it has never seen.
	again := r.login(t, "ana")
	if key := keyOf(t, again); key == first || key == second {
		t.Errorf("the key %s signs again", key)
	}
	r.wantSignedIn(t, again)
	if n := count(events(t, db), string(audit.RestoreGuarded)); n != 1 {
		t.Errorf("%d events", n)
	}
	r.wantInvariants(t)
}

// Where JWT_SECRET signs there are no keys to end, and the entry of the blacklist has to do.
func TestGuardRestore_WithoutSigningKeys(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db).feed(t, db.URL())
	r.addUser(t, "ana")
	had := r.login(t, "ana")
	var slipped auth.Tokens // in, on a connection from before
	guarded, err := newOperator(t, db).GuardRestore(t.Context(), onCommandLine(), func(families int) {
		if families == 1 {
			db.Advance(t, 2*time.Second) // beyond the first entry
			slipped = r.login(t, "ana")
		}
	})
	if err != nil || guarded.Families != 2 || len(guarded.Keys) != 0 {
		t.Fatalf("guarded %+v, %v", guarded, err)
	}
	r.hear(t)
	for _, ended := range []auth.Tokens{had, slipped} {
		r.wantSignedOut(t, ended)
		r.wantRefused(t, ended.RefreshToken)
	}
	r.wantSignedIn(t, r.login(t, "ana"))
	// In the very next moment too: the servers are let in once their tokens are younger by a whole second.
	if !one[bool](t, db, `SELECT date_trunc('second', guarded_at) > date_trunc('second', $1::timestamptz) FROM installation`, guarded.Before) {
		t.Error("a login in the second of the end would be refused")
	}
	if before := one[time.Time](t, db, `SELECT max(before) FROM revocations WHERE kind = 'all'`); !before.Equal(guarded.Before) {
		t.Errorf("the last entry ends what was issued before %v, told was %v", before, guarded.Before)
	}
	if left := one[time.Duration](t, db, `SELECT min(until - before) FROM revocations WHERE kind = 'all'`); left < store.MaxAccessLifetime {
		t.Errorf("the entry is kept for %v", left)
	}
}

func TestGuardRestore_KeepsServersOutUntilItHasEnded(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newKeyed(t, db, token.ES256, keyEncryptionKey)
	r.load(t)
	r.addUser(t, "ana")
	r.login(t, "ana")
	operator := newOperator(t, db)
	if err := trouble(t, db); err != nil {
		t.Fatal(err)
	}

	// It is killed after its first batch.
	ctx, kill := context.WithCancel(t.Context())
	_, err := operator.GuardRestore(ctx, onCommandLine(), func(int) { kill() })
	if err == nil {
		t.Fatal("it ended although it was killed")
	}
	wantElsewhere(t, trouble(t, db), true)
	if _, err := r.Ready(t.Context()); !errors.As(err, new(*auth.NotReadyError)) {
		t.Errorf("a server with a connection from before: %v", err)
	}
	if _, err := operator.RecordMove(t.Context(), onCommandLine()); !errors.As(err, new(*store.InstallationError)) {
		t.Errorf("--moved ends a guard: %v", err)
	}

	if _, err := operator.GuardRestore(t.Context(), onCommandLine(), quiet); err != nil {
		t.Fatal(err)
	}
	if err := trouble(t, db); err != nil {
		t.Errorf("after the second run: %v", err)
	}
	if _, err := r.Ready(t.Context()); err != nil {
		t.Errorf("after the second run: %v", err)
	}
}

// What a run that was killed had ended is passed over by the next one, in one statement: with many millions that
// takes longer than a request may.
func TestGuardRestore_MayTakeLongerThanARequest(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	r.login(t, "ana")
	db.Exec(t, `
		CREATE TABLE limits (statement text);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
		    INSERT INTO limits SELECT current_setting('statement_timeout');
		    RETURN NEW;
		END $$;
		CREATE TRIGGER note BEFORE UPDATE ON token_families FOR EACH ROW EXECUTE FUNCTION note()`)
	if _, err := newOperator(t, db).GuardRestore(t.Context(), onCommandLine(), quiet); err != nil {
		t.Fatal(err)
	}
	if limit := one[string](t, db, `SELECT statement FROM limits`); limit != "0" {
		t.Errorf("a batch may take %s", limit)
	}
}

func TestGuardRestore_TwoAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	r := newReplica(t, db)
	r.addUser(t, "ana")
	had := r.login(t, "ana")
	var wg sync.WaitGroup
	for range 2 {
		operator := newOperator(t, db)
		wg.Go(func() {
			if _, err := operator.GuardRestore(t.Context(), onCommandLine(), quiet); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.wantRefused(t, had.RefreshToken)
	if err := trouble(t, db); err != nil {
		t.Error(err)
	}
}

func TestInstallation_ACopyIsElsewhereUntilItsMoveIsRecorded(t *testing.T) {
	t.Parallel()
	restored := testdb.New(t).Copy(t)
	wantElsewhere(t, trouble(t, restored), false)
	r := newReplica(t, restored)
	r.addUser(t, "ana") // commands work there
	had := r.login(t, "ana")
	if moved, err := r.RecordMove(t.Context(), onCommandLine()); !moved || err != nil {
		t.Fatalf("moved %v, %v", moved, err)
	}
	if err := trouble(t, restored); err != nil {
		t.Error(err)
	}
	r.refresh(t, had.RefreshToken)
	if moved, err := r.RecordMove(t.Context(), onCommandLine()); moved || err != nil {
		t.Errorf("once more: moved %v, %v", moved, err)
	}
	if n := count(events(t, restored), string(audit.InstallationMoved)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// The row of one cluster in another one is what a dump brings there.
func TestInstallation_OfAnotherCluster(t *testing.T) {
	t.Parallel()
	db, server := testdb.New(t), testdb.Dedicated(t)
	if err := trouble(t, &server.DB); err != nil {
		t.Fatal(err)
	}
	identifier := one[int64](t, db, `SELECT system_identifier FROM installation`)
	server.Exec(t, `UPDATE installation SET system_identifier = $1`, identifier)
	wantElsewhere(t, trouble(t, &server.DB), false)
	if _, err := newOperator(t, &server.DB).GuardRestore(t.Context(), onCommandLine(), quiet); err != nil {
		t.Fatal(err)
	}
	if err := trouble(t, &server.DB); err != nil {
		t.Error(err)
	}
	// Where the identifier was never readable the database's own number is all there is.
	server.Exec(t, `UPDATE installation SET system_identifier = NULL`)
	if err := trouble(t, &server.DB); err != nil {
		t.Error(err)
	}
	server.Exec(t, `DELETE FROM installation`)
	wantElsewhere(t, trouble(t, &server.DB), false)
}

// As behind a pooler, which may lead a connection to another database than it was opened to.
func TestInstallation_ConnectionsFromBeforeAreClosedOnceItIsNoticed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	st, err := store.Open(store.Config{URL: db.URL(), RequestTimeout: 5 * time.Second, MaxLifetime: time.Hour, AtHome: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if _, err := st.Now(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `UPDATE installation SET database_oid = 1`)
	_, err = st.Server(t.Context()) // as the feed asks when it connects
	wantElsewhere(t, err, false)
	_, err = st.Now(t.Context())
	wantElsewhere(t, err, false)
	db.Exec(t, `UPDATE installation SET database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if _, err := st.Now(t.Context()); err != nil {
		t.Errorf("at home again: %v", err)
	}
}
