package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// Problem is an answer that refuses (RFC 9457). Its code is stable: clients branch on it.
type Problem struct {
	Status int
	Code   string
	Title  string
	Detail string
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// with returns the problem with a detail of its own.
func (p *Problem) with(detail string) *Problem {
	specific := *p
	specific.Detail = detail
	return &specific
}

// All problems. Those of one cause that an attacker must not tell apart are one.
var (
	errMalformed        = &Problem{http.StatusBadRequest, "malformed_request", "Malformed request", "The request could not be read."}
	errTwoCredentials   = &Problem{http.StatusBadRequest, "two_credentials", "Two credentials", "The request carries two different credentials; nothing was done with either."}
	errCredentials      = &Problem{http.StatusBadRequest, "invalid_credentials", "Invalid credentials", "Username or password is wrong."}
	errResetToken       = &Problem{http.StatusBadRequest, "invalid_reset_token", "Invalid reset token", "The reset link is not valid, was used or has expired; ask for a new one."}
	errTLSRequired      = &Problem{http.StatusBadRequest, "tls_required", "TLS required", "The request came over plain HTTP and was not looked at; what it carried may have been read on the way. Use https."}
	errUnknownClient    = &Problem{http.StatusBadRequest, "unknown_client", "Unknown client", "There is no public client of that id."}
	errInvalidClient    = &Problem{http.StatusUnauthorized, "invalid_client", "Invalid client", "The client is unknown, or did not authenticate as it must."}
	errTokenRequired    = &Problem{http.StatusUnauthorized, "token_required", "Token required", "The request carries no token."}
	errAccessToken      = &Problem{http.StatusForbidden, "invalid_access_token", "Invalid access token", "The access token is malformed, expired or revoked."}
	errAccessTokenAgain = &Problem{http.StatusUnauthorized, "invalid_access_token", "Invalid access token", "The access token is malformed, expired or revoked."}
	errRefreshToken     = &Problem{http.StatusForbidden, "invalid_refresh_token", "Invalid refresh token", "The refresh token is not valid; log in again."}
	errNotAdmin         = &Problem{http.StatusForbidden, "not_an_admin", "Not an admin", "Only users of role admin may do this."}
	errStaleLogin       = &Problem{http.StatusUnauthorized, "login_too_old", "Login too old", "Log in again: this needs a session that has just begun."}
	errClosed           = &Problem{http.StatusForbidden, "registration_closed", "Registration is closed", "This server does not let people register themselves."}
	errCrossOrigin      = &Problem{http.StatusForbidden, "cross_origin_refused", "Cross-origin request refused", "Pages of this origin may not send this request."}
	errNotFound         = &Problem{http.StatusNotFound, "not_found", "Not found", "There is nothing here."}
	errSessionNotFound  = &Problem{http.StatusNotFound, "session_not_found", "Session not found", "You have no session of that id."}
	errFamilyNotFound   = &Problem{http.StatusNotFound, "family_not_found", "Family not found", "There is no family of that id."}
	errUserNotFound     = &Problem{http.StatusNotFound, "user_not_found", "User not found", "There is no such user."}
	errMethodNotAllowed = &Problem{http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", "This resource does not take that method; see the Allow header."}
	errSlowBody         = &Problem{http.StatusRequestTimeout, "request_timeout", "Request timeout", "The request did not arrive in time."}
	errTaken            = &Problem{http.StatusConflict, "username_taken", "Username is taken", "There is a user of that name already."}
	errOwnAccount       = &Problem{http.StatusConflict, "own_account", "Own account", "Admins do not disable, delete or demote themselves here; the command line can."}
	errTooLarge         = &Problem{http.StatusRequestEntityTooLarge, "too_large", "Request too large", "The body is larger than 64 KiB."}
	errMediaType        = &Problem{http.StatusUnsupportedMediaType, "unsupported_media_type", "Unsupported media type", "The body must be application/json."}
	errThrottled        = &Problem{http.StatusTooManyRequests, "too_many_attempts", "Too many attempts", "There were too many attempts; the Retry-After header says when to try again."}
	errInvalidInput     = &Problem{http.StatusUnprocessableEntity, "invalid_input", "Invalid input", ""}
	errInternal         = &Problem{http.StatusInternalServerError, "internal_error", "Internal error", "Something went wrong on this side."}
	errUnavailable      = &Problem{http.StatusServiceUnavailable, "unavailable", "Temporarily unavailable", "The server cannot answer just now. Nothing was consumed; try again."}
	errNotReady         = &Problem{http.StatusServiceUnavailable, "not_ready", "Not ready", "The server is shutting down."}
)

// problemOf is the one table from error to answer.
func problemOf(err error) *Problem {
	var problem *Problem
	var invalid *account.InvalidError
	var notReady *auth.NotReadyError
	var tooLarge *http.MaxBytesError
	var query *auth.QueryError
	var throttled *auth.ThrottledError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &query):
		return errMalformed.with(query.Error() + ".")
	case errors.As(err, &invalid):
		specific := errInvalidInput.with(invalid.Reason)
		specific.Code = "invalid_" + invalid.Field
		return specific
	case errors.As(err, &notReady):
		return errNotReady.with(notReady.Reason)
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.As(err, &throttled):
		return errThrottled
	case errors.Is(err, auth.ErrInvalidCredentials):
		return errCredentials
	case errors.Is(err, auth.ErrInvalidRefreshToken):
		return errRefreshToken
	case errors.Is(err, auth.ErrInvalidResetToken):
		return errResetToken
	case errors.Is(err, auth.ErrTwoCredentials):
		return errTwoCredentials
	case errors.Is(err, auth.ErrUnknownClient):
		return errUnknownClient
	case errors.Is(err, auth.ErrInvalidClient):
		return errInvalidClient
	case errors.Is(err, auth.ErrNotAdmin):
		return errNotAdmin
	case errors.Is(err, auth.ErrStaleLogin):
		return errStaleLogin
	case errors.Is(err, auth.ErrOwnAccount):
		return errOwnAccount
	case errors.Is(err, auth.ErrUserNotFound):
		return errUserNotFound
	case errors.Is(err, auth.ErrFamilyNotFound):
		return errFamilyNotFound
	case errors.Is(err, auth.ErrRegistrationClosed):
		return errClosed
	case errors.Is(err, auth.ErrUsernameTaken):
		return errTaken
	case errors.Is(err, auth.ErrSessionNotFound):
		return errSessionNotFound
	case errors.Is(err, auth.ErrUnavailable), errors.Is(err, auth.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errUnavailable
	default:
		return errInternal
	}
}

// writeError answers with the problem that err is, or in OAuth's words if it is said in them.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *oauth.Error
	if errors.As(err, &refusal) {
		writeOAuthError(w, refusal)
		return
	}
	problem := problemOf(err)
	if problem.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	var throttled *auth.ThrottledError
	if errors.As(err, &throttled) {
		w.Header().Set("Retry-After", strconv.FormatInt(max(seconds(throttled.RetryAfter+time.Second-1), 1), 10))
	}
	if problem.Status == http.StatusRequestTimeout || problem.Status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // the rest of the body is not waited for
	}
	switch {
	case problem.Code == errInvalidClient.Code:
		w.Header().Set("WWW-Authenticate", basicChallenge)
	case problem.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "":
		w.Header().Set("WWW-Authenticate", bearerChallenge)
	}
	write(w, problem.Status, "application/problem+json", struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		Code      string `json:"code"`
		RequestID string `json:"requestId"`
	}{"urn:kindred:problem:" + problem.Code, problem.Title, problem.Status, problem.Detail, problem.Code, observedIn(r.Context()).requestID})
}

// writeOAuthError answers as RFC 6749 §5.2 has it. Who is known and not permitted is told so by the status
// too, since that code is a 400 only where a grant was asked for.
func writeOAuthError(w http.ResponseWriter, refusal *oauth.Error) {
	status := http.StatusBadRequest
	switch refusal.Code {
	case oauth.InvalidClient:
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", basicChallenge)
	case oauth.UnauthorizedClient:
		status = http.StatusForbidden
	}
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, status, struct {
		Error       oauth.Code `json:"error"`
		Description string     `json:"error_description"`
	}{refusal.Code, refusal.Description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, mediaType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // our own types
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	// Whoever has hung up reads nothing; there is nobody left to tell.
	_, _ = w.Write(text)
}
