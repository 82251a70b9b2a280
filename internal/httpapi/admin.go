package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"kindred/internal/audit"
	"kindred/internal/auth"
)

// admin runs a handler for an admin who signed in a short while ago. What the handler does is recorded as
// done by that admin. Whose login is too old is told so as RFC 9470 §3 has it, so that a client can ask
// for the password and go on.
func (a *API) admin(handle func(http.ResponseWriter, *http.Request, auth.Identity) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token, err := bearer(r)
		if err != nil {
			return err
		}
		if token == "" {
			return errTokenRequired
		}
		who, err := a.auth.AuthenticateAdmin(r.Context(), token)
		switch {
		case isInvalidToken(err):
			w.Header().Set("WWW-Authenticate", invalidChallenge)
			return errAccessTokenAgain
		case errors.Is(err, auth.ErrStaleLogin):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`%s, error="insufficient_user_authentication", max_age=%d`, bearerChallenge, seconds(a.auth.AdminMaxAge())))
			return err
		case err != nil:
			return err
		}
		observedIn(r.Context()).caller.Actor = audit.ByUser(who.User.ID)
		return handle(w, r, who)
	}
}

// whom says whether an admin may do something to himself.
type whom bool

const (
	toAnybody whom = false
	toOthers  whom = true
)

// act makes a handler of a use case on the user of the path, which takes neither a query nor a member.
func (a *API) act(whom whom, do func(context.Context, auth.Caller, string) error) handler {
	return a.admin(func(w http.ResponseWriter, r *http.Request, who auth.Identity) error {
		id, err := target(r, errUserNotFound)
		if err != nil {
			return err
		}
		if err := readJSON(w, r, &struct{}{}, refuseUnknown); err != nil {
			return err
		}
		if err := who.MayChange(id); err != nil && whom == toOthers {
			return err
		}
		if err := do(r.Context(), callerOf(r), id.String()); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// pathID reads the id in the path. What is no id is the id of nothing.
func pathID(r *http.Request, notFound *Problem) (uuid.UUID, error) {
	id, err := uuid.Parse(mux.Vars(r)["id"])
	if err != nil {
		return uuid.Nil, notFound
	}
	return id, nil
}

// target is pathID for a route that takes no query.
func target(r *http.Request, notFound *Problem) (uuid.UUID, error) {
	id, err := pathID(r, notFound)
	if err != nil {
		return uuid.Nil, err
	}
	_, err = parameters(r)
	return id, err
}

// parameters reads a query: of the known names each once at most, and no other. A misspelt filter that nobody
// minds would answer another question than the one that was asked.
func parameters(r *http.Request, known ...string) (map[string]string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errMalformed.with("The query is not well encoded.")
	}
	values := make(map[string]string, len(query))
	for name, list := range query {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, errMalformed.with("This route takes no parameters.")
		case !slices.Contains(known, name):
			return nil, errMalformed.with(fmt.Sprintf("%.40q is no parameter of this route, which takes %s.", name, strings.Join(known, ", ")))
		case len(list) > 1:
			return nil, errMalformed.with(name + " is given twice.")
		}
		values[name] = list[0]
	}
	return values, nil
}

// page reads limit and cursor.
func page(values map[string]string) auth.Page {
	const rows = 50
	p := auth.Page{Limit: rows, Cursor: values["cursor"]}
	if text, given := values["limit"]; given {
		limit, err := strconv.Atoi(text)
		if err != nil {
			limit = 0 // which is refused like any other that is out of bounds
		}
		p.Limit = limit
	}
	return p
}
