// Package oauth has the words of OAuth 2.0's endpoints and reads what clients send there, without any I/O.
package oauth

// GrantRefreshToken is the grant type of RFC 6749 §6.
const GrantRefreshToken = "refresh_token"

// TokenType is the type of the access tokens that are handed out (RFC 6750 §4).
const TokenType = "Bearer"

// Code is an error code of RFC 6749 §5.2, which revocation (RFC 7009 §2.2.1) and introspection (RFC 7662
// §2.3) use too.
type Code string

const (
	// InvalidRequest: a parameter is missing, repeated, or contradicts another.
	InvalidRequest Code = "invalid_request"
	// InvalidClient: the client is unknown or its authentication failed.
	InvalidClient Code = "invalid_client"
	// InvalidGrant: the refresh token is expired, revoked, used, or another client's.
	InvalidGrant Code = "invalid_grant"
	// UnauthorizedClient: the client is who it says, and may not do that.
	UnauthorizedClient Code = "unauthorized_client"
	// UnsupportedGrantType: a grant that this server does not know.
	UnsupportedGrantType Code = "unsupported_grant_type"
	// InvalidScope: a scope that was not granted; none is.
	InvalidScope Code = "invalid_scope"
)

// Error is an answer of such an endpoint. Its description is for developers, in the characters that
// RFC 6749 §5.2 allows.
type Error struct {
	Code        Code
	Description string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Description }

// ErrInvalidClient is the one answer to every client that is not believed, whatever was wrong.
var ErrInvalidClient = &Error{Code: InvalidClient, Description: "The client is unknown, or did not authenticate as it must."}
