package httpapi

import (
	"net/http"
	"strings"
	"time"

	"kindred/internal/auth"
)

const (
	refreshCookie = "__Host-kindred_refresh"
	accessCookie  = "__Host-kindred_access"
	deviceCookie  = "__Host-kindred_device"

	bearerChallenge  = `Bearer realm="kindred"`
	invalidChallenge = bearerChallenge + `, error="invalid_token"`
	basicChallenge   = `Basic realm="kindred", charset="UTF-8"` // RFC 7617 §2.1
)

// bearer returns the token of the Authorization header (RFC 6750 §2.1), empty if there is none. Tokens
// in the URL or in a form are not looked for: URLs end up in logs (RFC 9700 §4.3.2).
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		return "", errTwoCredentials
	}
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	return strings.Trim(token, " "), nil
}

// cookieToken returns the token of a cookie, empty if there is none.
func cookieToken(r *http.Request, name string) (string, error) {
	var token string
	for _, cookie := range r.CookiesNamed(name) {
		if token != "" && cookie.Value != token {
			return "", errTwoCredentials
		}
		token = cookie.Value
	}
	return token, nil
}

// refreshToken joins what body and cookie say. byCookie is true if a cookie takes part: the answer
// must then replace it, or it would be left behind with a used token.
func refreshToken(r *http.Request, inBody string) (token string, byCookie bool, err error) {
	inCookie, err := cookieToken(r, refreshCookie)
	switch {
	case err != nil:
		return "", false, err
	case inBody != "" && inCookie != "" && inBody != inCookie:
		return "", false, errTwoCredentials
	case inCookie != "":
		return inCookie, true, nil
	default:
		return inBody, false, nil
	}
}

// setCookies hands tokens to a browser so that no script ever sees the refresh token. __Host- binds
// them to this host, HTTPS and Path=/ (RFC 6265bis §4.1.3.2).
func setCookies(w http.ResponseWriter, tokens auth.Tokens) {
	setCookie(w, refreshCookie, tokens.RefreshToken, http.SameSiteStrictMode, int(tokens.RefreshExpiresIn/time.Second))
	setCookie(w, accessCookie, tokens.AccessToken, http.SameSiteLaxMode, int(tokens.ExpiresIn/time.Second))
}

// setDeviceCookie leaves on a browser what makes it a known device. Logout does not take it back: the next
// login is what it is for. SameSite=Strict as for the refresh token: a login is sent by pages of this site.
func setDeviceCookie(w http.ResponseWriter, deviceToken string) {
	const maxAge = 400 * 24 * 60 * 60 // as long as the token counts, and as browsers keep any cookie
	setCookie(w, deviceCookie, deviceToken, http.SameSiteStrictMode, maxAge)
}

// deviceToken is the token that a login brings from an earlier one on the same device, by cookie or in the
// body. Two different cookies are as good as none: a device token never makes an error.
func deviceToken(r *http.Request, inBody string, byCookie bool) string {
	if !byCookie {
		return inBody
	}
	token, err := cookieToken(r, deviceCookie)
	if err != nil {
		return ""
	}
	return token
}

// clearCookies takes them back if the request brought one.
func clearCookies(w http.ResponseWriter, r *http.Request) {
	if len(r.CookiesNamed(refreshCookie)) == 0 && len(r.CookiesNamed(accessCookie)) == 0 {
		return
	}
	setCookie(w, refreshCookie, "", http.SameSiteStrictMode, -1)
	setCookie(w, accessCookie, "", http.SameSiteLaxMode, -1)
}

// clearAccessCookie takes back what a change of the password has ended, if the request brought one. The session
// lives on, and with it the refresh cookie.
func clearAccessCookie(w http.ResponseWriter, r *http.Request) {
	if len(r.CookiesNamed(accessCookie)) > 0 {
		setCookie(w, accessCookie, "", http.SameSiteLaxMode, -1)
	}
}

func setCookie(w http.ResponseWriter, name, value string, sameSite http.SameSite, maxAge int) {
	if value != "" && maxAge <= 0 {
		maxAge = 1 // a lifetime below a second; 0 would mean none is set
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: true, SameSite: sameSite})
}

// signedIn runs a handler for whoever the access token speaks for. A token that is given but not good
// is answered with status bad: 403 where the tutorial's clients expect it, else 401 (RFC 6750 §3.1).
func (a *API) signedIn(bad int, handle func(http.ResponseWriter, *http.Request, auth.Identity) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token, err := bearer(r)
		if err != nil {
			return err
		}
		if token == "" {
			return errTokenRequired
		}
		who, err := a.auth.Authenticate(r.Context(), token)
		if isInvalidToken(err) {
			w.Header().Set("WWW-Authenticate", invalidChallenge)
			if bad == http.StatusForbidden {
				return errAccessToken
			}
			return errAccessTokenAgain
		}
		if err != nil {
			return err
		}
		return handle(w, r, who)
	}
}
