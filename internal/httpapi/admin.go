package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"kindred/internal/audit"
	"kindred/internal/auth"
)

// admin runs a handler for an admin who signed in a short while ago. What the handler does is recorded as
// done by that admin. Whose login is too old is told so as RFC 9470 §3 has it, so that a client can ask
// for the password and go on.
func (a *API) admin(handle func(http.ResponseWriter, *http.Request, auth.Identity) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token, err := bearer(r)
		if err != nil {
			return err
		}
		if token == "" {
			return errTokenRequired
		}
		who, err := a.auth.AuthenticateAdmin(r.Context(), token)
		switch {
		case isInvalidToken(err):
			w.Header().Set("WWW-Authenticate", invalidChallenge)
			return errAccessTokenAgain
		case errors.Is(err, auth.ErrStaleLogin):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`%s, error="insufficient_user_authentication", max_age=%d`, bearerChallenge, seconds(a.auth.AdminMaxAge())))
			return err
		case err != nil:
			return err
		}
		observedIn(r.Context()).caller.Actor = audit.ByUser(who.User.ID)
		return handle(w, r, who)
	}
}

// handleAdminUser: GET /admin/users/{id}, a living user.
func (a *API) handleAdminUser(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	id, err := uuid.Parse(mux.Vars(r)["id"])
	if err != nil {
		return errUserNotFound
	}
	user, err := a.auth.User(r.Context(), id.String())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, describe(user))
	return nil
}
