// Package httpapi speaks HTTP: routes, middleware, handlers, and the one table that maps errors to
// answers. It decides nothing that package auth could decide; below it nobody knows net/http.
//
// A request passes, from the outside in: observe (request id, security headers, log line, panics,
// deadline) → TLS → CORS → cross-origin protection → the router → one handler, which returns its error.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/rs/cors"

	"kindred/internal/auth"
)

// Config is what an operator decides about HTTP.
type Config struct {
	PublicURL          string   // own origin and issuer; trusted by the cross-origin check
	CORSAllowedOrigins []string // exact origins whose pages may call with credentials
	Proxies            Proxies
	AllowPlaintext     bool // requests over plain HTTP are taken from anywhere
	RequestTimeout     time.Duration
	Log                *slog.Logger
	Observers          []Observer
}

// API is an http.Handler with all routes.
type API struct {
	config   Config
	auth     *auth.Service
	router   *mux.Router
	handler  http.Handler
	draining atomic.Bool
	hintedAt atomic.Int64 // Unix seconds: the last word on a client without an address
	warnedAt atomic.Int64 // Unix seconds: the last word on a secret that came in clear
}

// New builds the routes over the use cases. The configuration has been checked before: an origin
// that is none makes it panic.
func New(config Config, service *auth.Service) *API {
	a := &API{config: config, auth: service}
	a.router = a.routes()
	a.handler = a.observe(a.overTLS(a.crossOrigin(http.HandlerFunc(a.dispatch))))
	return a
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.lastOnItsConnection(r) {
		w.Header().Set("Connection", "close")
	}
	a.handler.ServeHTTP(w, r)
}

// Drain makes /readyz answer 503, so that a balancer sends no more requests, and each connection end with its
// next answer; all else goes on.
func (a *API) Drain() { a.draining.Store(true) }

// handler answers a request or returns why not; the table of problems then answers.
type handler func(w http.ResponseWriter, r *http.Request) error

func (a *API) routes() *mux.Router {
	// SkipClean: a path that is not clean is not found, instead of redirected with its method lost.
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	for _, route := range []struct {
		methods []string
		path    string
		handle  handler
	}{
		{[]string{http.MethodPost}, "/register", a.handleRegister},
		{[]string{http.MethodPost}, "/login", a.handleLogin},
		{[]string{http.MethodPost}, "/token", a.handleToken},
		{[]string{http.MethodPost}, "/logout", a.handleLogout},
		{[]string{http.MethodPost}, "/revoke", a.handleRevoke},
		{[]string{http.MethodPost}, "/introspect", a.handleIntrospect},
		{[]string{http.MethodGet, http.MethodHead}, "/protected", a.signedIn(http.StatusForbidden, a.handleProtected)},
		{[]string{http.MethodGet, http.MethodHead}, "/me", a.signedIn(http.StatusUnauthorized, a.handleMe)},
		{[]string{http.MethodDelete}, "/me", a.signedIn(http.StatusUnauthorized, a.handleDeleteMe)},
		{[]string{http.MethodPost}, "/password", a.signedIn(http.StatusUnauthorized, a.handleChangePassword)},
		{[]string{http.MethodPost}, "/password/reset", a.handleResetPassword},
		{[]string{http.MethodGet, http.MethodHead}, "/sessions", a.signedIn(http.StatusUnauthorized, a.handleSessions)},
		{[]string{http.MethodDelete}, "/sessions", a.signedIn(http.StatusUnauthorized, a.handleEndSessions)},
		{[]string{http.MethodDelete}, "/sessions/{id}", a.signedIn(http.StatusUnauthorized, a.handleEndSession)},
		{[]string{http.MethodGet, http.MethodHead}, "/admin/users", a.admin(a.handleAdminUsers)},
		{[]string{http.MethodPost}, "/admin/users", a.admin(a.handleAdminCreateUser)},
		{[]string{http.MethodGet, http.MethodHead}, "/admin/users/{id}", a.admin(a.handleAdminUser)},
		{[]string{http.MethodDelete}, "/admin/users/{id}", a.act(toOthers, a.auth.DeleteUser)},
		{[]string{http.MethodPost}, "/admin/users/{id}/role", a.admin(a.handleAdminRole)},
		{[]string{http.MethodPost}, "/admin/users/{id}/disable", a.act(toOthers, a.auth.DisableUser)},
		{[]string{http.MethodPost}, "/admin/users/{id}/enable", a.act(toAnybody, a.auth.EnableUser)},
		{[]string{http.MethodPost}, "/admin/users/{id}/password-reset", a.admin(a.handleAdminPasswordReset)},
		{[]string{http.MethodGet, http.MethodHead}, "/admin/users/{id}/sessions", a.admin(a.handleAdminSessions)},
		{[]string{http.MethodDelete}, "/admin/users/{id}/sessions", a.admin(a.handleAdminEndSessions)},
		{[]string{http.MethodDelete}, "/admin/sessions/{id}", a.admin(a.handleAdminEndSession)},
		{[]string{http.MethodGet, http.MethodHead}, "/admin/events", a.admin(a.handleAdminEvents)},
		{[]string{http.MethodGet, http.MethodHead}, "/admin/families/{id}", a.admin(a.handleAdminFamily)},
		{[]string{http.MethodGet, http.MethodHead}, "/.well-known/jwks.json", a.handleKeySet},
		{[]string{http.MethodGet, http.MethodHead}, "/.well-known/oauth-authorization-server", a.handleMetadata},
		{[]string{http.MethodGet, http.MethodHead}, "/openapi.json", a.handleOpenAPI},
		{[]string{http.MethodGet, http.MethodHead}, livePath, a.handleLive},
		{[]string{http.MethodGet, http.MethodHead}, readyPath, a.handleReady},
	} {
		router.Handle(route.path, a.at(route.path, route.handle)).Methods(route.methods...)
	}
	router.Handle(verifyPath, a.at(verifyPath, a.handleVerify))
	router.PathPrefix(verifyPath + "/").Handler(a.at(verifyPath, a.handleVerify))
	router.NotFoundHandler = a.at("not found", func(http.ResponseWriter, *http.Request) error { return errNotFound })
	router.MethodNotAllowedHandler = a.at("method not allowed", a.methodNotAllowed)
	return router
}

// dispatch calls the handler of a request's route. The router's own ServeHTTP would copy each request twice,
// for what no handler asks: variables that are not there, and the route itself.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request) {
	var match mux.RouteMatch
	a.router.Match(r, &match) // that nothing matches has a handler too
	if len(match.Vars) > 0 {
		r = mux.SetURLVars(r, match.Vars)
	}
	match.Handler.ServeHTTP(w, r)
}

// at notes the route for the log, which never has a path: people put tokens there.
func (a *API) at(route string, handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := observedIn(r.Context())
		seen.route = route
		if err := handle(w, r); err != nil {
			seen.err = err
			if seen.status == 0 { // else a page was cut off while it was written
				writeError(w, r, err)
			}
		}
	})
}

// methodNotAllowed fills in the Allow header, which RFC 9110 §15.5.6 demands and the router leaves out.
func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPost} {
		probe := r.Clone(context.WithoutCancel(r.Context()))
		probe.Method = method
		var match mux.RouteMatch
		if a.router.Match(probe, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return errMethodNotAllowed
}

// crossOrigin lets a browser's request in if it comes from a page of this origin or of the list. The
// check needs no token in forms: it rests on Fetch metadata and Origin, which pages cannot forge. A
// proxy's question passes: it changes nothing, and its Origin is that of a request to somebody else.
func (a *API) crossOrigin(next http.Handler) http.Handler {
	checked := a.checkOrigin(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if toVerify(r) {
			next.ServeHTTP(w, r)
			return
		}
		checked.ServeHTTP(w, r)
	})
}

func (a *API) checkOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	for _, origin := range append([]string{a.config.PublicURL}, a.config.CORSAllowedOrigins...) {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			panic("httpapi: " + err.Error())
		}
	}
	protection.SetDenyHandler(a.at("cross-origin", func(http.ResponseWriter, *http.Request) error { return errCrossOrigin }))
	next = protection.Handler(next)
	if len(a.config.CORSAllowedOrigins) == 0 {
		return next // for the library an empty list means everybody
	}
	return cors.New(cors.Options{
		AllowedOrigins:   slices.Clone(a.config.CORSAllowedOrigins),
		AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete},
		AllowedHeaders:   []string{"Authorization", "Content-Type", requestIDHeader},
		ExposedHeaders:   []string{requestIDHeader, "Retry-After", "WWW-Authenticate"},
		AllowCredentials: true,
		MaxAge:           600,
	}).Handler(next)
}
