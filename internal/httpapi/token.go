package httpapi

import (
	"errors"
	"net/http"
	"net/url"

	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// handleToken: POST /token, by JSON or cookie in this API's words, by form in OAuth's.
func (a *API) handleToken(w http.ResponseWriter, r *http.Request) error {
	if mediaType(r) == "application/x-www-form-urlencoded" {
		return a.handleTokenForm(w, r)
	}
	var body struct {
		RefreshToken string `json:"refreshToken"`
	}
	if err := readJSON(w, r, &body, ignoreUnknown); err != nil {
		return err
	}
	token, byCookie, err := refreshToken(r, body.RefreshToken)
	if err != nil {
		return err
	}
	if token == "" {
		return errTokenRequired
	}
	tokens, err := a.auth.Refresh(r.Context(), callerOf(r), token, "")
	if err != nil {
		return err
	}
	writeTokens(w, tokens, byCookie)
	return nil
}

// handleTokenForm is the refresh grant of RFC 6749 §6, for the built-in public client so far.
func (a *API) handleTokenForm(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	clientID, err := formClient(r, form)
	if err != nil {
		return err
	}
	switch {
	case !form.Has("grant_type"):
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "grant_type is missing."}
	case form.Get("grant_type") != oauth.GrantRefreshToken:
		return &oauth.Error{Code: oauth.UnsupportedGrantType, Description: "Only refresh_token is supported."}
	case !form.Has("refresh_token"):
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "refresh_token is missing."}
	case form.Has("scope"):
		return &oauth.Error{Code: oauth.InvalidScope, Description: "No scope was granted."}
	}
	token, byCookie, err := refreshToken(r, form.Get("refresh_token"))
	if err != nil {
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "The request carries two different refresh tokens."}
	}
	tokens, err := a.auth.Refresh(r.Context(), callerOf(r), token, clientID)
	switch {
	case errors.Is(err, auth.ErrInvalidRefreshToken):
		return &oauth.Error{Code: oauth.InvalidGrant, Description: "The refresh token is not valid."}
	case errors.Is(err, auth.ErrUnknownClient):
		return &oauth.Error{Code: oauth.InvalidClient, Description: "The client is not known."}
	case err != nil:
		return err
	}
	writeOAuthTokens(w, tokens, byCookie)
	return nil
}

// formClient is the client that a form or a Basic header names (RFC 6749 §2.3.1). Public clients have
// no secret, so whoever brings one is none of them.
func formClient(r *http.Request, form url.Values) (string, error) {
	basicID, basicSecret, basic := r.BasicAuth()
	switch {
	case basic && form.Has("client_secret"):
		return "", &oauth.Error{Code: oauth.InvalidRequest, Description: "The client authenticates in two ways."}
	case basic && form.Has("client_id") && form.Get("client_id") != basicID:
		return "", &oauth.Error{Code: oauth.InvalidRequest, Description: "The request names two clients."}
	case basic && basicSecret != "", form.Has("client_secret"):
		return "", &oauth.Error{Code: oauth.InvalidClient, Description: "The client is not known."}
	case basic:
		return basicID, nil
	default:
		return form.Get("client_id"), nil
	}
}

// writeOAuthTokens answers as RFC 6749 §5.1 has it.
func writeOAuthTokens(w http.ResponseWriter, tokens auth.Tokens, byCookie bool) {
	body := struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token,omitempty"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
	}{tokens.AccessToken, tokens.RefreshToken, oauth.TokenType, seconds(tokens.ExpiresIn)}
	if byCookie {
		setCookies(w, tokens)
		body.RefreshToken = ""
	}
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, body)
}
