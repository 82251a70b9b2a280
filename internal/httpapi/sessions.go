package httpapi

import (
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"kindred/internal/auth"
)

func isInvalidToken(err error) bool { return errors.Is(err, auth.ErrInvalidAccessToken) }

// handleProtected: GET /protected, the example of a resource.
func (a *API) handleProtected(w http.ResponseWriter, _ *http.Request, who auth.Identity) error {
	writeJSON(w, http.StatusOK, struct {
		Message string   `json:"message"`
		User    userBody `json:"user"`
	}{"Welcome to protected route!", describe(who.User)})
	return nil
}

// handleMe: GET /me, the signed-in user.
func (a *API) handleMe(w http.ResponseWriter, _ *http.Request, who auth.Identity) error {
	writeJSON(w, http.StatusOK, describe(who.User))
	return nil
}

// handleLogout: POST /logout by refresh token (body or cookie) or access token, which may be expired. A
// confidential client's refresh token counts if the client authenticates by HTTP Basic. It is 204 for what
// is gone or was never ours too: the caller is signed out either way.
func (a *API) handleLogout(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		RefreshToken string `json:"refreshToken"`
	}
	if err := readJSON(w, r, &body, refuseUnknown); err != nil {
		return err
	}
	refresh, _, err := refreshToken(r, body.RefreshToken)
	if err != nil {
		return err
	}
	access, err := bearer(r)
	if err != nil {
		return err
	}
	client, err := jsonClient(r, "")
	if err != nil {
		return err
	}
	if refresh == "" && access == "" {
		return errTokenRequired
	}
	err = a.auth.Logout(r.Context(), callerOf(r), auth.LogoutRequest{RefreshToken: refresh, AccessToken: access, Client: client})
	if err != nil {
		return err
	}
	clearCookies(w, r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// handleSessions: GET /sessions, the user's live sessions, last used first.
func (a *API) handleSessions(w http.ResponseWriter, r *http.Request, who auth.Identity) error {
	sessions, err := a.auth.Sessions(r.Context(), who)
	if err != nil {
		return err
	}
	type session struct {
		ID         string `json:"id"`
		CreatedAt  string `json:"createdAt"`
		LastUsedAt string `json:"lastUsedAt"`
		ExpiresAt  string `json:"expiresAt"`
		UserAgent  string `json:"userAgent"`
		IP         string `json:"ip"`
		Current    bool   `json:"current"`
	}
	list := make([]session, 0, len(sessions))
	for _, s := range sessions {
		ip := ""
		if s.Address.IsValid() {
			ip = s.Address.String()
		}
		list = append(list, session{
			s.ID.String(), timestamp(s.CreatedAt), timestamp(s.LastUsedAt), timestamp(s.ExpiresAt), s.UserAgent, ip, s.Current,
		})
	}
	writeJSON(w, http.StatusOK, struct {
		Sessions []session `json:"sessions"`
	}{list})
	return nil
}

// handleEndSession: DELETE /sessions/{id}. Another user's session is one that does not exist.
func (a *API) handleEndSession(w http.ResponseWriter, r *http.Request, who auth.Identity) error {
	id, err := uuid.Parse(mux.Vars(r)["id"])
	if err != nil {
		return errSessionNotFound
	}
	if err := a.auth.EndSession(r.Context(), callerOf(r), who, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// handleEndSessions: DELETE /sessions, all of them, or with ?except=current all others.
func (a *API) handleEndSessions(w http.ResponseWriter, r *http.Request, who auth.Identity) error {
	except := r.URL.Query()["except"]
	if len(except) > 1 || len(except) == 1 && except[0] != "current" {
		return errMalformed.with("except must be current.")
	}
	if err := a.auth.EndSessions(r.Context(), callerOf(r), who, len(except) == 1); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
