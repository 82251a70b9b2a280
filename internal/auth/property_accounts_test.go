package auth_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"kindred/internal/auth"
)

// resetLink is one that may be good still.
type resetLink struct {
	token   string
	expires time.Time
}

func (m *model) setRole(u *modelUser, role string) (changed bool) {
	if u.role == role {
		return false
	}
	m.events["role_changed"]++
	u.role = role
	u.version++
	return true
}

// setPassword ends all families but one; a link that is out is void with the old password.
func (m *model) setPassword(u *modelUser, password string, except *modelFamily, kind, why string) {
	m.events[kind]++
	u.password, u.link = password, nil
	u.version++
	m.endAll(u, except, why)
}

// addUser makes one, perhaps with the name of one who is gone.
func (m *machine) addUser(r replica, name string) *modelUser {
	r.addUser(m.t, name)
	m.events["user_created"]++
	return &modelUser{name: name, password: userPassword, role: "user", version: 1}
}

func (m *machine) changeRole(r *rapid.T) {
	user, role := pick(r, "user", m.users), rapid.SampledFrom([]string{"user", "editor"}).Draw(r, "role")
	m.unchanged = !m.setRole(user, role)
	m.wantError(pick(r, "replica", m.replicas).SetRole(m.t.Context(), caller, user.name, role), nil)
}

// deleteUser is by an operator or by the user, and the name is given again at once.
func (m *machine) deleteUser(r *rapid.T) {
	if !rarely(r, "delete") {
		return
	}
	replica := pick(r, "replica", m.replicas)
	asks, a := m.drawAccess(r)
	gone := slices.Index(m.users, asks.user)
	if gone < 0 {
		return // deleted before
	}
	var err error
	if m.accepts(asks, a) {
		err = replica.DeleteMe(m.t.Context(), caller, replica.wantSignedIn(m.t, auth.Tokens{AccessToken: a.text}), asks.user.password)
	} else {
		err = replica.DeleteUser(m.t.Context(), caller, asks.user.name)
	}
	m.wantError(err, nil)
	m.events["user_deleted"]++
	m.endAll(asks.user, nil, "user_deleted")
	m.users[gone] = m.addUser(replica, asks.user.name)
}

// changePassword is by an operator, or by a user whose access token is accepted. It is rare, or there would be few
// families left to refresh.
func (m *machine) changePassword(r *rapid.T) {
	if !rarely(r, "change") {
		return
	}
	replica, password := pick(r, "replica", m.replicas), rapid.SampledFrom([]string{userPassword, otherPassword}).Draw(r, "password")
	asks, a := m.drawAccess(r)
	switch {
	case m.accepts(asks, a):
		err := replica.ChangePassword(m.t.Context(), caller, replica.wantSignedIn(m.t, auth.Tokens{AccessToken: a.text}), asks.user.password, password)
		m.wantError(err, nil)
		m.setPassword(asks.user, password, asks, "password_changed", "password_changed")
	case slices.Contains(m.users, asks.user):
		m.wantError(replica.SetPassword(m.t.Context(), caller, asks.user.name, password), nil)
		m.setPassword(asks.user, password, nil, "password_changed", "password_changed")
	}
}

func (m *machine) makeResetLink(r *rapid.T) {
	user := pick(r, "user", m.users)
	user.link = &resetLink{token: pick(r, "replica", m.replicas).resetToken(m.t, user.name), expires: m.now.Add(time.Hour)}
	m.links = append(m.links, user.link)
	m.events["reset_link_made"]++
}

// resetPassword uses any link that was ever made.
func (m *machine) resetPassword(r *rapid.T) {
	if len(m.links) == 0 {
		return
	}
	replica, link := pick(r, "replica", m.replicas), pick(r, "link", m.links)
	password := rapid.SampledFrom([]string{userPassword, otherPassword}).Draw(r, "password")
	err := replica.ResetPassword(m.t.Context(), caller, link.token, password)
	at := slices.IndexFunc(m.users, func(u *modelUser) bool { return u.link == link })
	if at < 0 || !m.now.Before(link.expires) {
		m.unchanged = true
		m.wantError(err, auth.ErrInvalidResetToken)
		return
	}
	m.wantError(err, nil)
	m.setPassword(m.users[at], password, nil, "password_reset", "password_reset")
}
