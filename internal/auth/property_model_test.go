package auth_test

import (
	"time"

	"github.com/google/uuid"

	"kindred/internal/auth"
)

// model is what design §3, and the acts around a refresh, make of a few users and their families: the
// rules written down once more, for one act at a time, without a database and without package family.
type model struct {
	now         time.Time
	serverStart time.Time
	users       []*modelUser
	families    []*modelFamily
	links       []*resetLink
	events      map[string]int // the audit trail, by kind
}

type modelUser struct {
	name     string
	password string
	role     string
	disabled bool
	version  int
	link     *resetLink // nil: none, or void
}

type modelFamily struct {
	modelRow
	user     *modelUser
	tokens   []string // by generation
	rotated  time.Time
	recorded map[string]time.Time // the latest event of a kind that has one in a minute
	access   []accessToken
}

// modelRow is what the database has to say of a family.
type modelRow struct {
	ID            uuid.UUID
	Generation    int
	ExpiresAt     time.Time
	IdleExpiresAt time.Time
	AccessUntil   time.Time
	Ended         string // why it was revoked; empty while it was not
}

type accessToken struct {
	text    string
	expires time.Time
	version int
}

// presented is a refresh token and what the model knows of it.
type presented struct {
	wire       string
	family     *modelFamily // nil where the MAC is wrong
	generation int
}

// lost is the generation of a token with the right MAC that was never handed out.
const lost = -1

// answer is what comes of a refresh.
type answer string

const (
	refused  answer = "refused"
	missed   answer = "refused as lost"
	reused   answer = "refused as a reuse"
	replayed answer = "the same child"
	rotated  answer = "a new child"
)

func (m *model) refresh(p presented) answer {
	f := p.family
	switch {
	case f == nil, f.user.disabled, f.Ended != "", !m.now.Before(f.ExpiresAt), !m.now.Before(f.IdleExpiresAt):
		return refused
	case p.generation == f.Generation:
		f.Generation++
		f.rotated = m.now
		f.IdleExpiresAt = earliest(m.now.Add(idle), f.ExpiresAt)
		return rotated
	case p.generation == f.Generation-1 && p.generation != lost && m.now.Before(m.replayUntil(f)):
		m.first(f, "grace_replay")
		return replayed
	case p.generation != lost:
		m.events["reuse_detected"]++
		m.end(f, "reuse_detected")
		return reused
	default:
		m.first(f, "token_lost")
		return missed
	}
}

// first is of what can happen again and again: the first in a minute is an event.
func (m *model) first(f *modelFamily, kind string) {
	if last, there := f.recorded[kind]; there && m.now.Before(last.Add(time.Minute)) {
		return
	}
	f.recorded[kind] = m.now
	m.events[kind]++
}

func (m *model) replayUntil(f *modelFamily) time.Time {
	return latest(f.rotated, m.serverStart).Add(interval)
}

func (m *model) login(u *modelUser) *modelFamily {
	m.events["login_ok"]++
	f := &modelFamily{user: u, rotated: m.now, recorded: map[string]time.Time{}}
	f.ExpiresAt, f.IdleExpiresAt = m.now.Add(shortLifetime), m.now.Add(idle)
	m.families = append(m.families, f)
	return f
}

// issue is the access token that comes with a refresh token; its times are in whole seconds.
func (m *model) issue(f *modelFamily, text string) accessToken {
	expires := earliest(m.now.Add(access), f.ExpiresAt)
	f.AccessUntil = latest(f.AccessUntil, expires)
	issued := accessToken{text: text, expires: expires.Truncate(time.Second), version: f.user.version}
	f.access = append(f.access, issued)
	return issued
}

func (m *model) accepts(f *modelFamily, a accessToken) bool {
	return f.Ended == "" && !f.user.disabled && a.version == f.user.version &&
		m.now.Before(f.ExpiresAt) && m.now.Before(a.expires.Add(leeway))
}

// logout is by a refresh token, by an access token of a family, or by both.
func (m *model) logout(p presented, byAccess *modelFamily) (ended bool, err error) {
	f := p.family
	if f == nil {
		f = byAccess
	}
	switch {
	case f == nil:
		return false, nil
	case byAccess != nil && byAccess != f:
		return false, auth.ErrTwoCredentials
	case f.Ended != "":
		return false, nil
	case byAccess == nil && p.generation == lost:
		m.first(f, "token_lost")
		return false, nil
	}
	m.events["logout"]++
	m.end(f, "logout")
	return true, nil
}

func (m *model) end(f *modelFamily, why string) {
	m.events["family_revoked"]++
	f.Ended = why
}

func (m *model) endAll(u *modelUser, except *modelFamily, why string) {
	for _, f := range m.families {
		if f.user == u && f != except && f.Ended == "" {
			m.end(f, why)
		}
	}
}

func (m *model) disable(u *modelUser) (changed bool) {
	if u.disabled {
		return false
	}
	m.events["user_disabled"]++
	u.disabled = true
	u.version++
	m.endAll(u, nil, "user_disabled")
	return true
}

func (m *model) enable(u *modelUser) (changed bool) {
	if !u.disabled {
		return false
	}
	m.events["user_enabled"]++
	u.disabled = false
	u.version++
	return true
}

func (m *model) alive(f *modelFamily) bool {
	return f.Ended == "" && m.now.Before(f.IdleExpiresAt)
}

// boundary is the next instant at which an answer about the family changes; now, where there is none.
func (m *model) boundary(f *modelFamily) time.Time {
	newest := f.access[len(f.access)-1]
	for _, at := range []time.Time{m.replayUntil(f), newest.expires.Add(leeway), f.IdleExpiresAt, f.ExpiresAt} {
		if at.After(m.now) {
			return at
		}
	}
	return m.now
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
