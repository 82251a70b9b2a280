package httpapi

import (
	"errors"
	"net/http"
	"net/url"

	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// Page adds a page of another room to the routes, before the API serves. It runs behind everything that the
// other routes do, and what it returns before it has answered is answered by the table of problems.
func (a *API) Page(path string, handle func(http.ResponseWriter, *http.Request) error, methods ...string) {
	a.router.Handle(path, a.at(path, handle)).Methods(methods...)
}

// CallerOf is what the use cases are told of whoever asks for a page.
func CallerOf(r *http.Request) auth.Caller { return callerOf(r) }

// ReadForm reads the form of a page as strictly as other bodies are read. The error is to be returned.
func ReadForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	form, err := readForm(w, r)
	var refusal *oauth.Error
	if errors.As(err, &refusal) {
		return nil, errMalformed.with(refusal.Description)
	}
	return form, err
}
