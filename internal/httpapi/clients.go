package httpapi

import (
	"errors"
	"net/http"
	"net/url"

	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// readClientForm reads the form of an OAuth endpoint, and how the client names itself there.
func readClientForm(w http.ResponseWriter, r *http.Request) (url.Values, auth.ClientCredentials, error) {
	form, err := readForm(w, r)
	if err != nil {
		return nil, auth.ClientCredentials{}, err
	}
	id, secret, err := oauth.ParseClient(r.Header.Values("Authorization"), form.Get("client_id"), form.Get("client_secret"))
	return form, auth.ClientCredentials{ID: id, Secret: secret}, err
}

// jsonClient is how the client names itself on the routes that speak our own words: a public one by id in
// the body, a confidential one by HTTP Basic.
func jsonClient(r *http.Request, bodyID string) (auth.ClientCredentials, error) {
	id, secret, err := oauth.ParseClient(r.Header.Values("Authorization"), bodyID, "")
	var refusal *oauth.Error
	switch {
	case errors.Is(err, oauth.ErrInvalidClient):
		return auth.ClientCredentials{}, errInvalidClient
	case errors.As(err, &refusal):
		return auth.ClientCredentials{}, errMalformed.with(refusal.Description)
	}
	return auth.ClientCredentials{ID: id, Secret: secret}, err
}

// inOAuthWords says what a use case refuses as RFC 6749 §5.2 does. Trouble stays what it is: a 503.
func inOAuthWords(err error) error {
	switch {
	case errors.Is(err, auth.ErrInvalidRefreshToken):
		return &oauth.Error{Code: oauth.InvalidGrant, Description: "The refresh token is not valid."}
	case errors.Is(err, auth.ErrInvalidClient):
		return oauth.ErrInvalidClient
	case errors.Is(err, auth.ErrTokenOfAnother):
		return &oauth.Error{Code: oauth.InvalidGrant, Description: "The token was issued to another client."}
	case errors.Is(err, auth.ErrMayNotIntrospect):
		return &oauth.Error{Code: oauth.UnauthorizedClient, Description: "The client may not introspect."}
	default:
		return err
	}
}
