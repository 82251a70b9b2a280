package httpapi

import (
	"net/http"
	"time"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// handleRegister: POST /register {username, password}.
func (a *API) handleRegister(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Username *string `json:"username"`
		Password *string `json:"password"`
	}
	if err := readJSON(w, r, &body, refuseUnknown); err != nil {
		return err
	}
	if err := required(body.Username, "username", body.Password, "password"); err != nil {
		return err
	}
	a.wantAddress(r)
	user, err := a.auth.Register(r.Context(), callerOf(r), *body.Username, *body.Password)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, struct {
		userBody
		CreatedAt string `json:"createdAt"`
	}{describe(user), timestamp(user.CreatedAt)})
	return nil
}

// handleLogin: POST /login {username, password, transport, clientId, deviceToken}. A public client names
// itself by clientId, a confidential one authenticates by HTTP Basic.
func (a *API) handleLogin(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Username    *string `json:"username"`
		Password    *string `json:"password"`
		Transport   string  `json:"transport"`
		ClientID    string  `json:"clientId"`
		DeviceToken string  `json:"deviceToken"`
	}
	if err := readJSON(w, r, &body, ignoreUnknown); err != nil {
		return err
	}
	if err := required(body.Username, "username", body.Password, "password"); err != nil {
		return err
	}
	if body.Transport != "" && body.Transport != "body" && body.Transport != "cookie" {
		return errMalformed.with("transport must be body or cookie.")
	}
	client, err := jsonClient(r, body.ClientID)
	if err != nil {
		return err
	}
	if client.Secret != "" && body.Transport == "cookie" {
		return errMalformed.with("Cookies are for public clients.")
	}
	a.wantAddress(r)
	byCookie := body.Transport == "cookie"
	tokens, err := a.auth.Login(r.Context(), callerOf(r), auth.LoginRequest{
		Username: *body.Username, Password: *body.Password, Client: client, DeviceToken: deviceToken(r, body.DeviceToken, byCookie),
	})
	if err != nil {
		return err
	}
	writeTokens(w, tokens, byCookie)
	return nil
}

func required(first *string, firstName string, second *string, secondName string) error {
	switch {
	case first == nil:
		return errMalformed.with(firstName + " is missing.")
	case second == nil:
		return errMalformed.with(secondName + " is missing.")
	}
	return nil
}

// writeTokens answers with what a login or a refresh gave. By cookie, the refresh token is nowhere in
// the body, where a script could read it, and neither is a login's device token.
func writeTokens(w http.ResponseWriter, tokens auth.Tokens, byCookie bool) {
	body := struct {
		AccessToken      string `json:"accessToken"`
		RefreshToken     string `json:"refreshToken,omitempty"`
		TokenType        string `json:"tokenType"`
		ExpiresIn        int64  `json:"expiresIn"`
		RefreshExpiresIn int64  `json:"refreshExpiresIn"`
		DeviceToken      string `json:"deviceToken,omitempty"`
	}{tokens.AccessToken, tokens.RefreshToken, oauth.TokenType, seconds(tokens.ExpiresIn), seconds(tokens.RefreshExpiresIn), tokens.DeviceToken}
	if byCookie {
		setCookies(w, tokens)
		if tokens.DeviceToken != "" {
			setDeviceCookie(w, tokens.DeviceToken)
		}
		body.RefreshToken, body.DeviceToken = "", ""
	}
	writeJSON(w, http.StatusOK, body)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// userBody is a user as the API shows it.
type userBody struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Role     string `json:"role"`
}

func describe(user account.User) userBody {
	return userBody{user.ID.String(), user.Username, user.Role}
}

// timestamp is RFC 3339 in UTC, to the millisecond.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
