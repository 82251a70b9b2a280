package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kindred/internal/oauth"
)

// unknownMembers says what becomes of JSON members that a route does not know.
type unknownMembers bool

const (
	refuseUnknown unknownMembers = true
	ignoreUnknown unknownMembers = false
)

// readJSON reads one JSON object, strictly: UTF-8, no member twice, nothing behind it, types as they
// are. No body at all counts as {}. The refusal says what is wrong and repeats nothing of the body.
func readJSON(w http.ResponseWriter, r *http.Request, into any, unknown unknownMembers) error {
	body, err := readBody(w, r)
	if err != nil || len(body) == 0 {
		return err
	}
	if mediaType(r) != "application/json" {
		return errMediaType
	}
	return parseJSON(body, into, unknown)
}

func parseJSON(body []byte, into any, unknown unknownMembers) error {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return errMalformed.with("The body must be one JSON object.")
	}
	err := json.Unmarshal(body, into, json.RejectUnknownMembers(bool(unknown)))
	var semantic *json.SemanticError
	switch {
	case err == nil:
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errMalformed.with("A member of the JSON object stands there twice.")
	case errors.Is(err, json.ErrUnknownName):
		return errMalformed.with("The JSON object has a member that this route does not know.")
	case errors.As(err, &semantic):
		return errMalformed.with("A member of the JSON object has the wrong type.")
	default:
		return errMalformed.with("The body is not valid JSON in UTF-8.")
	}
	if hasNUL(body) {
		return errMalformed.with("A string of the JSON object contains the NUL character.")
	}
	return nil
}

// hasNUL looks at the strings one by one only where the escape is written somewhere: in raw form NUL
// is no JSON.
func hasNUL(body []byte) bool {
	if !bytes.Contains(body, []byte(`\u0000`)) {
		return false
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.ReadToken()
		if err != nil {
			return false
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return true
		}
	}
}

const formMediaType = "application/x-www-form-urlencoded"

// readForm reads the parameters of an OAuth endpoint (RFC 6749 §3.2): none twice, an empty one is an
// omitted one. Parameters in the URL do not count.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 && mediaType(r) != formMediaType {
		return nil, &oauth.Error{Code: oauth.InvalidRequest, Description: "The body must be " + formMediaType + "."}
	}
	return parseForm(string(body))
}

func parseForm(body string) (url.Values, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, &oauth.Error{Code: oauth.InvalidRequest, Description: "The form is not well encoded."}
	}
	for name, values := range form {
		switch value := values[0]; {
		case len(values) > 1:
			return nil, &oauth.Error{Code: oauth.InvalidRequest, Description: "A parameter is given twice."}
		case !utf8.ValidString(name+value) || strings.ContainsRune(name+value, 0):
			return nil, &oauth.Error{Code: oauth.InvalidRequest, Description: "A parameter is not valid UTF-8 text."}
		case value == "":
			delete(form, name)
		}
	}
	return form, nil
}

// readBody reads what there is until the request's deadline: a body may trickle in. Once all is read
// the connection's own deadline is taken back: the server listens there for the client's hanging up,
// for a request without a body from the start, and would take a later expiry for that, for this
// request and for all that follow on the connection. After a failure it stays: the server must not
// wait for the rest.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	const maxBytes = 64 << 10
	connection := http.NewResponseController(w)
	if deadline, ok := r.Context().Deadline(); ok {
		_ = connection.SetReadDeadline(deadline) // a writer that cannot is a test's
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		_ = connection.SetReadDeadline(time.Time{})
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlowBody
	default:
		return nil, errMalformed.with("The body did not arrive whole.")
	}
}

// mediaType is the type of the body without parameters; UTF-8 is the only charset there is.
func mediaType(r *http.Request) string {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset, given := parameters["charset"]; err != nil || given && !strings.EqualFold(charset, "utf-8") {
		return ""
	}
	return kind
}
