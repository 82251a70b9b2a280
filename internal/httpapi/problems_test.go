package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"kindred/internal/account"
	"kindred/internal/auth"
)

// The codes are a promise: clients branch on them.
func TestProblemOf_TheWholeTable(t *testing.T) {
	t.Parallel()
	cases := []struct {
		err    error
		status int
		code   string
	}{
		{auth.ErrInvalidCredentials, 400, "invalid_credentials"},
		{auth.ErrTwoCredentials, 400, "two_credentials"},
		{auth.ErrInvalidResetToken, 400, "invalid_reset_token"},
		{auth.ErrUnknownClient, 400, "unknown_client"},
		{auth.ErrInvalidClient, 401, "invalid_client"},
		{auth.ErrInvalidRefreshToken, 403, "invalid_refresh_token"},
		{auth.ErrRegistrationClosed, 403, "registration_closed"},
		{auth.ErrSessionNotFound, 404, "session_not_found"},
		{auth.ErrUsernameTaken, 409, "username_taken"},
		{auth.ErrOwnAccount, 409, "own_account"},
		{&auth.QueryError{Parameter: "limit", Reason: "x"}, 400, "malformed_request"},
		{auth.ErrNotAdmin, 403, "not_an_admin"},
		{auth.ErrStaleLogin, 401, "login_too_old"},
		{auth.ErrUserNotFound, 404, "user_not_found"},
		{auth.ErrFamilyNotFound, 404, "family_not_found"},
		{&account.InvalidError{Field: "username", Reason: "x"}, 422, "invalid_username"},
		{&account.InvalidError{Field: "password", Reason: "x"}, 422, "invalid_password"},
		{auth.ErrUnavailable, 503, "unavailable"},
		{context.DeadlineExceeded, 503, "unavailable"},
		{context.Canceled, 503, "unavailable"},
		{&auth.NotReadyError{Reason: "x"}, 503, "not_ready"},
		{&http.MaxBytesError{}, 413, "too_large"},
		{errors.New("anything else"), 500, "internal_error"},
	}
	for _, c := range cases {
		got := problemOf(fmt.Errorf("wrapped: %w", c.err))
		if got.Status != c.status || got.Code != c.code || got.Title == "" || got.Detail == "" {
			t.Errorf("%v: %+v, want %d %s", c.err, got, c.status, c.code)
		}
	}
}
