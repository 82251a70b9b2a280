package httpapi

import (
	"net/http"

	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// handleIntrospect: POST /introspect (RFC 7662). Of an inactive token nothing is told but that (§2.2).
func (a *API) handleIntrospect(w http.ResponseWriter, r *http.Request) error {
	form, client, err := readClientForm(w, r)
	if err != nil {
		return err
	}
	if !form.Has("token") {
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "token is missing."}
	}
	found, err := a.auth.Introspect(r.Context(), client, form.Get("token"))
	if err != nil {
		return inOAuthWords(err)
	}
	if !found.Active {
		writeJSON(w, http.StatusOK, struct {
			Active bool `json:"active"`
		}{false})
		return nil
	}
	writeJSON(w, http.StatusOK, a.describeToken(found))
	return nil
}

// introspectionBody is an active token (RFC 7662 §2.2, and claims of ours).
type introspectionBody struct {
	Active    bool   `json:"active"`
	ClientID  string `json:"client_id"`
	Username  string `json:"username"`
	TokenType string `json:"token_type,omitempty"` // of an access token
	ExpiresAt int64  `json:"exp"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud,omitempty"` // of an access token
	Issuer    string `json:"iss"`
	ID        string `json:"jti"`
	SessionID string `json:"sid"`
	AuthTime  int64  `json:"auth_time"`
	Role      string `json:"role"`
}

func (a *API) describeToken(found auth.Introspection) introspectionBody {
	body := introspectionBody{
		Active: true, ClientID: found.ClientID, Username: found.User.Username, ExpiresAt: found.ExpiresAt.Unix(),
		IssuedAt: found.IssuedAt.Unix(), NotBefore: found.IssuedAt.Unix(), Subject: found.User.ID.String(),
		Audience: found.Audience, Issuer: a.config.PublicURL, ID: found.TokenID.String(), SessionID: found.SessionID.String(),
		AuthTime: found.AuthTime.Unix(), Role: found.User.Role,
	}
	if found.Access {
		body.TokenType = oauth.TokenType
	}
	return body
}
