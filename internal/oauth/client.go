package oauth

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Methods by which clients authenticate at the endpoints (RFC 7591 §2).
const (
	AuthNone  = "none"
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
)

// ParseClient reads how a request names its client, from its Authorization headers and from the client_id
// and client_secret of its body (RFC 6749 §2.3.1), empty where it has none. An empty secret is none. The
// error is an *Error: InvalidRequest if the request contradicts itself, InvalidClient if a Basic header
// cannot be read. Other schemes are no client authentication and are passed over.
func ParseClient(authorization []string, bodyID, bodySecret string) (id, secret string, err error) {
	if len(authorization) > 1 {
		return "", "", &Error{Code: InvalidRequest, Description: "The request has two Authorization headers."}
	}
	basic, found := "", false
	if len(authorization) == 1 {
		basic, found = basicCredentials(authorization[0])
	}
	if !found {
		return bodyID, bodySecret, nil
	}
	id, secret, ok := parseBasic(basic)
	switch {
	case bodySecret != "":
		// RFC 6749 §2.3: no more than one method in each request.
		return "", "", &Error{Code: InvalidRequest, Description: "The client authenticates in two ways."}
	case !ok:
		return "", "", ErrInvalidClient
	case bodyID != "" && bodyID != id:
		return "", "", &Error{Code: InvalidRequest, Description: "The request names two clients."}
	}
	return id, secret, nil
}

func basicCredentials(header string) (credentials string, found bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	return strings.Trim(rest, " "), strings.EqualFold(scheme, "Basic")
}

// parseBasic: id and secret are form-encoded before they are joined and encoded once more (RFC 6749
// §2.3.1 and appendix B, RFC 7617 §2).
func parseBasic(credentials string) (id, secret string, ok bool) {
	text, err := base64.StdEncoding.Strict().DecodeString(credentials)
	if err != nil {
		return "", "", false
	}
	encodedID, encodedSecret, found := strings.Cut(string(text), ":")
	id, errID := url.QueryUnescape(encodedID)
	secret, errSecret := url.QueryUnescape(encodedSecret)
	if !found || errID != nil || errSecret != nil || id == "" || !isText(id+secret) {
		return "", "", false
	}
	return id, secret, true
}

// isText tells whether a parameter is UTF-8 and can be stored.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
