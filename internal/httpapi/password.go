package httpapi

import (
	"errors"
	"net/http"

	"kindred/internal/auth"
)

// handleChangePassword: POST /password {currentPassword, newPassword}. All other sessions end; this one lives,
// with a refresh before the next access token.
func (a *API) handleChangePassword(w http.ResponseWriter, r *http.Request, who auth.Identity) error {
	var body struct {
		CurrentPassword *string `json:"currentPassword"`
		NewPassword     *string `json:"newPassword"`
	}
	if err := readJSON(w, r, &body, refuseUnknown); err != nil {
		return err
	}
	if err := required(body.CurrentPassword, "currentPassword", body.NewPassword, "newPassword"); err != nil {
		return err
	}
	if err := a.auth.ChangePassword(r.Context(), callerOf(r), who, *body.CurrentPassword, *body.NewPassword); err != nil {
		return ofOwnPassword(err)
	}
	clearAccessCookie(w, r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// handleResetPassword: POST /password/reset {token, newPassword}, with the token of an admin's link. All sessions end.
func (a *API) handleResetPassword(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Token       *string `json:"token"`
		NewPassword *string `json:"newPassword"`
	}
	if err := readJSON(w, r, &body, refuseUnknown); err != nil {
		return err
	}
	if err := required(body.Token, "token", body.NewPassword, "newPassword"); err != nil {
		return err
	}
	if err := a.auth.ResetPassword(r.Context(), callerOf(r), *body.Token, *body.NewPassword); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// handleDeleteMe: DELETE /me {password}. The user is gone, with all sessions.
func (a *API) handleDeleteMe(w http.ResponseWriter, r *http.Request, who auth.Identity) error {
	var body struct {
		Password *string `json:"password"`
	}
	if err := readJSON(w, r, &body, refuseUnknown); err != nil {
		return err
	}
	if body.Password == nil {
		return errMalformed.with("password is missing.")
	}
	if err := a.auth.DeleteMe(r.Context(), callerOf(r), who, *body.Password); err != nil {
		return ofOwnPassword(err)
	}
	clearCookies(w, r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ofOwnPassword says of a wrong password what it is where no name was asked for.
func ofOwnPassword(err error) error {
	if errors.Is(err, auth.ErrInvalidCredentials) {
		return errCredentials.with("The current password is wrong.")
	}
	return err
}
