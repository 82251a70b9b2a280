package auth_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"kindred/internal/auth"
	"kindred/internal/testdb"
)

const (
	leeway = time.Minute // §5, of access tokens
	// Short enough for a few refreshes to come to the end of a family.
	shortLifetime = idle + 40*time.Minute
)

// Random acts on a few users and their families, over two replicas: after each of them the answer, the rows,
// the audit trail and the access tokens are what the model says.
//
// The clock stands still but for the steps that the machine makes, so the model needs no margins: each
// boundary is tried on its very instant, and what fails fails again while rapid shrinks it, in a database
// of its own each time. What a running clock does between two statements is a matter of the races.
// For longer:
//
//	go test ./internal/auth -run Property -timeout 1h -rapid.checks=2000 -rapid.steps=100
func TestProperty_FamiliesFollowTheModel(t *testing.T) {
	t.Parallel()
	answers := map[answer]int{}
	testdb.Check(t, func(c testdb.CheckT) {
		m := newMachine(c, answers)
		c.Repeat(map[string]func(*rapid.T){
			"":                  m.check,
			"advance":           m.advance,
			"change password":   m.changePassword,
			"change role":       m.changeRole,
			"delete":            m.deleteUser,
			"disable or enable": m.disableOrEnable,
			"end sessions":      m.endSessions,
			"log in":            m.login,
			"log out":           m.logout,
			"refresh any":       func(r *rapid.T) { m.refresh(r, m.drawToken(r)) },
			"refresh current":   func(r *rapid.T) { m.refresh(r, m.drawRecent(r, 0)) },
			"refresh forged":    func(r *rapid.T) { m.refresh(r, m.drawForged(r)) },
			"reset link":        m.makeResetLink,
			"reset password":    m.resetPassword,
			"refresh parent":    func(r *rapid.T) { m.refresh(r, m.drawRecent(r, 1)) },
			"restart":           m.restart,
		})
		m.checkAccess(true)
		m.replicas[0].wantInvariants(c)
	})
	for _, a := range []answer{refused, missed, reused, replayed, rotated} {
		t.Logf("%d refreshes answered by: %s", answers[a], a)
		if answers[a] == 0 {
			t.Errorf("no refresh was to be answered by: %s", a)
		}
	}
}

// machine does to the product what it does to the model.
type machine struct {
	model
	t        testdb.CheckT
	db       *testdb.DB
	conn     *pgx.Conn
	replicas []replica
	answers  map[answer]int

	acts      int
	unchanged bool   // what the last act has to leave the state
	state     string // before it
}

func newMachine(c testdb.CheckT, answers map[answer]int) *machine {
	db := testdb.New(c)
	now := db.Now().Truncate(time.Second)
	db.Freeze(c, now)
	short := func(config *auth.Config, _ *[]string) { config.MaxLifetime = shortLifetime }
	m := &machine{
		t: c, db: db, conn: db.Conn(c), answers: answers, model: model{now: now, events: map[string]int{}},
		replicas: []replica{newReplica(c, db, short), newReplica(c, db, short)},
	}
	for _, name := range []string{"ana", "bob", "eve"} {
		m.users = append(m.users, m.addUser(m.replicas[0], name))
		m.start(m.replicas[1], m.users[len(m.users)-1])
	}
	return m
}

func rarely(r *rapid.T, label string) bool { return rapid.IntRange(0, 4).Draw(r, label) == 4 }

// pick draws a place in the list and not what stands there, which would fill rapid's log.
func pick[E any](r *rapid.T, label string, list []E) E {
	return list[rapid.IntRange(0, len(list)-1).Draw(r, label)]
}

// drawFamily prefers the living, of which there would else soon be few.
func (m *machine) drawFamily(r *rapid.T) *modelFamily {
	families := m.families
	if !rarely(r, "any family") {
		living := slices.DeleteFunc(slices.Clone(families), func(f *modelFamily) bool { return !m.alive(f) })
		if len(living) > 0 {
			families = living
		}
	}
	return pick(r, "family", families)
}

func (m *machine) drawAccess(r *rapid.T) (*modelFamily, accessToken) {
	f := m.drawFamily(r)
	return f, pick(r, "access token", f.access)
}

func (m *machine) drawToken(r *rapid.T) presented {
	f := m.drawFamily(r)
	generation := rapid.IntRange(0, f.Generation).Draw(r, "generation")
	return presented{f.tokens[generation], f, generation}
}

// drawRecent is the current token of a family or its parent, the root where there is none.
func (m *machine) drawRecent(r *rapid.T, back int) presented {
	f := m.drawFamily(r)
	generation := max(f.Generation-back, 0)
	return presented{f.tokens[generation], f, generation}
}

func (m *machine) drawForged(r *rapid.T) presented {
	p := m.drawToken(r)
	switch rapid.SampledFrom([]string{"another id", "another secret", "another MAC"}).Draw(r, "forged") {
	case "another id":
		return presented{forge(m.t, p.wire, true), p.family, lost}
	case "another secret":
		return presented{forge(m.t, p.wire, false), p.family, lost}
	default:
		return presented{p.wire[:40] + flip(p.wire[40]) + p.wire[41:], nil, lost}
	}
}

func (m *machine) refresh(r *rapid.T, p presented) {
	want := m.model.refresh(p)
	m.answers[want]++
	tokens, err := pick(r, "replica", m.replicas).Refresh(m.t.Context(), caller, p.wire, auth.ClientCredentials{})
	if want != rotated && want != replayed {
		m.unchanged = want != reused
		m.wantError(err, auth.ErrInvalidRefreshToken)
		return
	}
	m.wantError(err, nil)
	f, child := p.family, tokens.RefreshToken
	switch {
	case want == replayed && child != f.tokens[f.Generation]:
		m.t.Error("a replay gave another token than the child")
	case want == rotated && slices.Contains(f.tokens, child):
		m.t.Error("a rotation gave a token that was handed out before")
	case want == rotated:
		f.tokens = append(f.tokens, child)
	}
	m.handedOut(f, tokens)
}

func (m *machine) handedOut(f *modelFamily, tokens auth.Tokens) {
	issued := m.issue(f, tokens.AccessToken)
	if want := issued.expires.Sub(m.now.Truncate(time.Second)); tokens.ExpiresIn != want {
		m.t.Errorf("the access token expires in %v, want %v", tokens.ExpiresIn, want)
	}
	if want := f.IdleExpiresAt.Sub(m.now).Truncate(time.Second); tokens.RefreshExpiresIn != want {
		m.t.Errorf("the refresh token expires in %v, want %v", tokens.RefreshExpiresIn, want)
	}
}

func (m *machine) login(r *rapid.T) {
	replica, user := pick(r, "replica", m.replicas), pick(r, "user", m.users)
	password := user.password
	if rarely(r, "wrong password") {
		password = "a wrong one"
	}
	if password == user.password && !user.disabled {
		m.start(replica, user)
		return
	}
	m.events["login_refused"]++
	m.unchanged = true
	_, err := replica.Login(m.t.Context(), caller, auth.LoginRequest{Username: user.name, Password: password})
	m.wantError(err, auth.ErrInvalidCredentials)
	// Past the product: how guesses are counted is no part of this model.
	if _, err := m.conn.Exec(m.t.Context(), `DELETE FROM throttle`); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) start(r replica, user *modelUser) {
	f := m.model.login(user)
	tokens, err := r.Login(m.t.Context(), caller, auth.LoginRequest{Username: user.name, Password: user.password})
	m.wantError(err, nil)
	f.ID = familyOf(m.t, r, tokens)
	f.tokens = []string{tokens.RefreshToken}
	m.handedOut(f, tokens)
}

// logout is by a refresh token, by an access token, which may have expired, by both or by neither.
func (m *machine) logout(r *rapid.T) {
	var request auth.LogoutRequest
	var p presented
	var byAccess *modelFamily
	switch rapid.SampledFrom([]string{"right", "forged", "none"}).Draw(r, "refresh token") {
	case "right":
		p = m.drawToken(r)
	case "forged":
		p = m.drawForged(r)
	}
	request.RefreshToken = p.wire
	if rapid.Bool().Draw(r, "with an access token") {
		var a accessToken
		byAccess, a = m.drawAccess(r)
		request.AccessToken = a.text
	}
	ended, want := m.model.logout(p, byAccess)
	m.unchanged = !ended
	m.wantError(pick(r, "replica", m.replicas).Logout(m.t.Context(), caller, request), want)
}

// endSessions needs an access token that is accepted: that another is not, check has seen.
func (m *machine) endSessions(r *rapid.T) {
	replica, target := pick(r, "replica", m.replicas), m.drawFamily(r)
	asks, a := m.drawAccess(r)
	if !m.accepts(asks, a) {
		return
	}
	who := replica.wantSignedIn(m.t, auth.Tokens{AccessToken: a.text})
	switch which := rapid.SampledFrom([]string{"one", "all others", "all"}).Draw(r, "which"); {
	case which == "all":
		m.endAll(asks.user, nil, "session_ended")
		m.wantError(replica.EndSessions(m.t.Context(), caller, who, false), nil)
	case which == "all others":
		m.endAll(asks.user, asks, "session_ended")
		m.wantError(replica.EndSessions(m.t.Context(), caller, who, true), nil)
	case target.user == asks.user && target.Ended == "":
		m.end(target, "session_ended")
		m.wantError(replica.EndSession(m.t.Context(), caller, who, target.ID), nil)
	default:
		m.unchanged = true
		m.wantError(replica.EndSession(m.t.Context(), caller, who, target.ID), auth.ErrSessionNotFound)
	}
}

func (m *machine) disableOrEnable(r *rapid.T) {
	replica, user := pick(r, "replica", m.replicas), pick(r, "user", m.users)
	if rarely(r, "disable") {
		m.unchanged = !m.disable(user)
		m.wantError(replica.DisableUser(m.t.Context(), caller, user.name), nil)
		return
	}
	m.unchanged = !m.enable(user)
	m.wantError(replica.EnableUser(m.t.Context(), caller, user.name), nil)
}

// advance goes to the next instant at which something changes for a family, or right beside it.
func (m *machine) advance(r *rapid.T) {
	beside := rapid.SampledFrom([]time.Duration{0, -time.Microsecond, time.Microsecond}).Draw(r, "beside")
	step := max(m.boundary(m.drawFamily(r)).Add(beside).Sub(m.now), time.Microsecond)
	m.db.Advance(m.t, step)
	m.now = m.now.Add(step)
}

// restart is PostgreSQL's: the reuse interval starts anew.
func (m *machine) restart(*rapid.T) {
	m.db.SetServerStart(m.t, m.now)
	m.serverStart = m.now
}

func (m *machine) wantError(err, want error) {
	m.t.Helper()
	if !errors.Is(err, want) {
		m.t.Fatalf("error %v, want %v", err, want)
	}
}

// check looks at all that can be seen after an act, the state that it was not to change included (I9).
func (m *machine) check(*rapid.T) {
	var after string
	var events map[string]int
	err := m.conn.QueryRow(m.t.Context(), `SELECT (`+stateStatement+`),
		(SELECT jsonb_object_agg(kind, n) FROM (SELECT kind, count(*) AS n FROM audit_events GROUP BY kind) AS kinds)`).Scan(&after, &events)
	if err != nil {
		m.t.Fatal(err)
	}
	if m.unchanged && after != m.state {
		m.t.Errorf("what was refused went from\n%s to\n%s", m.state, after)
	}
	m.state, m.unchanged = after, false
	if diff := cmp.Diff(m.events, events); diff != "" {
		m.t.Errorf("audit trail, model and database: %s", diff)
	}
	m.checkFamilies()
	const often = 10
	m.acts++
	m.checkAccess(m.acts%often == 0)
	if m.acts%often == 0 {
		m.replicas[0].wantInvariants(m.t)
	}
}

func (m *machine) checkFamilies() {
	rows, err := m.conn.Query(m.t.Context(), `
		SELECT id, generation, expires_at, idle_expires_at, access_until, coalesce(revoked_reason, '') FROM token_families ORDER BY id`)
	if err != nil {
		m.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[modelRow])
	if err != nil {
		m.t.Fatal(err)
	}
	want := make([]modelRow, len(m.families))
	for i, f := range m.families { // their ids rise
		want[i] = f.modelRow
	}
	if diff := cmp.Diff(want, got); diff != "" {
		m.t.Errorf("families, model and database: %s", diff)
	}
}

// checkAccess presents the newest access token of each family, or all there are.
func (m *machine) checkAccess(all bool) {
	for i, f := range m.families {
		tokens := f.access[len(f.access)-1:]
		if all {
			tokens = f.access
		}
		for j, a := range tokens {
			var want error
			if !m.accepts(f, a) {
				want = auth.ErrInvalidAccessToken
			}
			_, err := m.replicas[(m.acts+i+j)%len(m.replicas)].Authenticate(m.t.Context(), a.text)
			m.wantError(err, want)
		}
	}
}
