package httpapi

import (
	"net/http"
	"time"

	"kindred/internal/account"
	"kindred/internal/auth"
)

// UserBody is a user for admins, as `kindred user show --json` shows it too.
type UserBody struct {
	ID                string  `json:"id"`
	Username          string  `json:"username"`
	Role              string  `json:"role"`
	Version           int64   `json:"version"`
	CreatedAt         string  `json:"createdAt"`
	PasswordChangedAt string  `json:"passwordChangedAt"`
	DisabledAt        *string `json:"disabledAt"`
}

// DescribeUser writes a user down for admins.
func DescribeUser(u account.User) UserBody {
	body := UserBody{
		ID: u.ID.String(), Username: u.Username, Role: u.Role, Version: u.Version,
		CreatedAt: timestamp(u.CreatedAt), PasswordChangedAt: timestamp(u.PasswordChangedAt),
	}
	if u.DisabledAt != nil {
		body.DisabledAt = someTime(*u.DisabledAt)
	}
	return body
}

// someTime is null where there is no time, or none is known.
func someTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := timestamp(t)
	return &text
}

// handleAdminUsers: GET /admin/users[?search=&role=&state=&limit=&cursor=], living users by name.
func (a *API) handleAdminUsers(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	query, err := parameters(r, "search", "role", "state", "limit", "cursor")
	if err != nil {
		return err
	}
	found, err := a.auth.Users(r.Context(), auth.UserQuery{
		Search: query["search"], Role: query["role"], State: query["state"], Page: page(query),
	})
	if err != nil {
		return err
	}
	list := make([]UserBody, 0, len(found.Users))
	for _, user := range found.Users {
		list = append(list, DescribeUser(user))
	}
	writeJSON(w, http.StatusOK, struct {
		Users []UserBody `json:"users"`
		Next  *string    `json:"next"`
	}{list, next(found.Next)})
	return nil
}

// next is the cursor of the next page, null where there is none.
func next(cursor string) *string {
	if cursor == "" {
		return nil
	}
	return &cursor
}

// handleAdminCreateUser: POST /admin/users {username, password, role}; role user unless another is given.
func (a *API) handleAdminCreateUser(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	body := struct {
		Username *string `json:"username"`
		Password *string `json:"password"`
		Role     string  `json:"role"`
	}{Role: account.RoleUser}
	if err := readJSON(w, r, &body, refuseUnknown); err != nil {
		return err
	}
	if err := required(body.Username, "username", body.Password, "password"); err != nil {
		return err
	}
	user, err := a.auth.CreateUser(r.Context(), callerOf(r), *body.Username, *body.Password, body.Role)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, DescribeUser(user))
	return nil
}

// handleAdminUser: GET /admin/users/{id}, a living user.
func (a *API) handleAdminUser(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	id, err := target(r, errUserNotFound)
	if err != nil {
		return err
	}
	user, err := a.auth.User(r.Context(), id.String())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, DescribeUser(user))
	return nil
}

// handleAdminRole: POST /admin/users/{id}/role {role}.
func (a *API) handleAdminRole(w http.ResponseWriter, r *http.Request, who auth.Identity) error {
	id, err := target(r, errUserNotFound)
	if err != nil {
		return err
	}
	var body struct {
		Role *string `json:"role"`
	}
	if err := readJSON(w, r, &body, refuseUnknown); err != nil {
		return err
	}
	if body.Role == nil {
		return errMalformed.with("role is missing.")
	}
	if err := who.MayChange(id); err != nil {
		return err
	}
	if err := a.auth.SetRole(r.Context(), callerOf(r), id.String(), *body.Role); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// handleAdminPasswordReset: POST /admin/users/{id}/password-reset, a link by which the user chooses another
// password. It is in this answer and nowhere else.
func (a *API) handleAdminPasswordReset(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	id, err := target(r, errUserNotFound)
	if err != nil {
		return err
	}
	if err := readJSON(w, r, &struct{}{}, refuseUnknown); err != nil {
		return err
	}
	link, err := a.auth.MakeResetLink(r.Context(), callerOf(r), id.String())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, DescribeResetLink(link))
	return nil
}

// ResetLinkBody is a reset link as an admin is given it.
type ResetLinkBody struct {
	URL       string `json:"url"`
	ExpiresAt string `json:"expiresAt"`
}

// DescribeResetLink writes a reset link down, in clear.
func DescribeResetLink(link auth.ResetLink) ResetLinkBody {
	return ResetLinkBody{link.URL.Reveal(), timestamp(link.ExpiresAt)}
}
