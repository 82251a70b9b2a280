package httpapi

import (
	"net/http"
	"net/url"
	"strings"

	"kindred/internal/auth"
)

const verifyPath = "/verify"

// toVerify tells whether a request is a proxy's question, at any path below and by any method: the
// methods and paths are those of the request that the proxy asks about.
func toVerify(r *http.Request) bool {
	return r.URL.Path == verifyPath || strings.HasPrefix(r.URL.Path, verifyPath+"/")
}

// handleVerify: ANY /verify, forward authentication for a reverse proxy. It answers who the access token
// of the header or of the cookie speaks for, in headers that the proxy hands on; the body is not read.
func (a *API) handleVerify(w http.ResponseWriter, r *http.Request) error {
	who, err := a.verify(r)
	if isInvalidToken(err) {
		w.Header().Set("WWW-Authenticate", invalidChallenge)
		return errAccessTokenAgain
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("X-Auth-User-Id", who.User.ID.String())
	h.Set("X-Auth-Username", url.PathEscape(who.User.Username)) // a name may hold what no header can
	h.Set("X-Auth-Role", who.User.Role)
	h.Set("X-Auth-Session", who.SessionID.String())
	w.WriteHeader(http.StatusOK)
	return nil
}

// verify takes the token of the header or of the cookie. A page of an application has both, and after
// another tab refreshed they are two tokens of one session, which is no contradiction; those of two
// sessions are.
func (a *API) verify(r *http.Request) (auth.Identity, error) {
	inHeader, err := bearer(r)
	if err != nil {
		return auth.Identity{}, err
	}
	inCookie, err := cookieToken(r, accessCookie)
	if err != nil {
		return auth.Identity{}, err
	}
	switch {
	case inHeader == "" && inCookie == "":
		return auth.Identity{}, errTokenRequired
	case inHeader == "":
		return a.auth.Authenticate(r.Context(), inCookie)
	}
	who, err := a.auth.Authenticate(r.Context(), inHeader)
	if err != nil || inCookie == "" || inCookie == inHeader {
		return who, err
	}
	other, err := a.auth.Authenticate(r.Context(), inCookie)
	switch {
	case isInvalidToken(err):
		return who, nil // what the cookie has left over contradicts nobody
	case err != nil:
		return auth.Identity{}, err
	case other.SessionID != who.SessionID:
		return auth.Identity{}, errTwoCredentials
	}
	return who, nil
}
