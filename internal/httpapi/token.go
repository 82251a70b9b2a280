package httpapi

import (
	"net/http"

	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// handleToken: POST /token, by JSON or cookie in this API's words, by form in OAuth's. JSON and cookie are
// for public clients: one with a secret has no use for words of ours.
func (a *API) handleToken(w http.ResponseWriter, r *http.Request) error {
	if mediaType(r) == formMediaType {
		return a.handleTokenForm(w, r)
	}
	var body struct {
		RefreshToken string `json:"refreshToken"`
		ClientID     string `json:"clientId"`
	}
	if err := readJSON(w, r, &body, ignoreUnknown); err != nil {
		return err
	}
	client, err := jsonClient(r, body.ClientID)
	if err != nil {
		return err
	}
	token, byCookie, err := refreshToken(r, body.RefreshToken)
	switch {
	case err != nil:
		return err
	case client.Secret != "":
		return errMalformed.with("A client with a secret refreshes by the form of RFC 6749, section 6.")
	case token == "":
		return errTokenRequired
	}
	tokens, err := a.auth.Refresh(r.Context(), callerOf(r), token, client)
	if err != nil {
		return err
	}
	writeTokens(w, tokens, byCookie)
	return nil
}

// handleTokenForm is the refresh grant of RFC 6749 §6.
func (a *API) handleTokenForm(w http.ResponseWriter, r *http.Request) error {
	form, client, err := readClientForm(w, r)
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
	switch {
	case err != nil:
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "The request carries two different refresh tokens."}
	case byCookie && client.Secret != "":
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "Cookies are for public clients."}
	}
	tokens, err := a.auth.Refresh(r.Context(), callerOf(r), token, client)
	if err != nil {
		return inOAuthWords(err)
	}
	writeOAuthTokens(w, tokens, byCookie)
	return nil
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
