package httpapi

import (
	"net/http"

	"kindred/internal/oauth"
)

// handleRevoke: POST /revoke (RFC 7009). token_type_hint is not needed: a refresh token is told from an
// access token by its looks, and a wrong hint is no error (§2.1). 200 says that the token is good for
// nothing any more, as one that never was (§2.2); 400 that it is another client's (§2.1); 503 that it may be
// as good as before (§2.2.1).
func (a *API) handleRevoke(w http.ResponseWriter, r *http.Request) error {
	form, client, err := readClientForm(w, r)
	if err != nil {
		return err
	}
	if !form.Has("token") {
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "token is missing."}
	}
	if err := a.auth.Revoke(r.Context(), callerOf(r), client, form.Get("token")); err != nil {
		return inOAuthWords(err)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
