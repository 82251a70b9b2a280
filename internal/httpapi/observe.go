package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"kindred/internal/auth"
)

const requestIDHeader = "X-Request-Id"

// observed is what the log line of a request will say; handlers fill it in as they go.
type observed struct {
	requestID string
	caller    auth.Caller
	route     string
	err       error
	panicked  string // stack of a panic
	status    int
	bytes     int
}

type observedKey struct{}

func observedIn(ctx context.Context) *observed {
	seen, ok := ctx.Value(observedKey{}).(*observed)
	if !ok {
		panic("httpapi: a handler runs outside of observe")
	}
	return seen
}

// callerOf is what the use cases are told of whoever asks.
func callerOf(r *http.Request) auth.Caller { return observedIn(r.Context()).caller }

// observe wraps everything, the router's own refusals too: security headers and a request id on each
// answer, a deadline, one line in the log, and a problem in place of a panic.
func (a *API) observe(next http.Handler) http.Handler {
	headers := securityHeaders() // answers share the values: whoever wants another sets it
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := requestID(r.Header.Values(requestIDHeader))
		seen := &observed{requestID: id, route: "none", caller: auth.Caller{
			RequestID: id, Address: clientAddress(r, a.config.Proxies), UserAgent: r.UserAgent(),
		}}
		maps.Copy(w.Header(), headers)
		w.Header().Set(requestIDHeader, id)
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), observedKey{}, seen), a.config.RequestTimeout)
		defer cancel()
		r = r.WithContext(ctx)

		recorder := &recorder{ResponseWriter: w, seen: seen}
		defer a.logRequest(r, seen, start)
		defer a.recoverPanic(recorder, r, seen)
		next.ServeHTTP(recorder, r)
	})
}

func (a *API) recoverPanic(w http.ResponseWriter, r *http.Request, seen *observed) {
	recovered := recover()
	if recovered == nil {
		return
	}
	if recovered == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(recovered)
	}
	seen.err = fmt.Errorf("panic: %T", recovered) // its text may hold anything
	seen.panicked = string(debug.Stack())
	if seen.status == 0 {
		writeError(w, r, seen.err)
	}
}

func (a *API) logRequest(r *http.Request, seen *observed, start time.Time) {
	took := time.Since(start)
	a.tellObservers(r.Context(), seen, took)
	level := levelOf(seen)
	if !a.config.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 9),
		slog.String("method", r.Method), slog.String("route", seen.route), slog.Int("status", seen.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.Int("bytes", seen.bytes),
		slog.String("request_id", seen.requestID),
	)
	if seen.caller.Address.IsValid() {
		attrs = append(attrs, slog.String("address", seen.caller.Address.String()))
	}
	if seen.status >= http.StatusInternalServerError {
		attrs = append(attrs, slog.Any("error", seen.err))
	}
	if seen.panicked != "" {
		attrs = append(attrs, slog.String("stack", seen.panicked))
	}
	a.config.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// levelOf is how loudly the log speaks of a request. What balancers and supervisors ask all day is worth a line
// only where the answer is no.
func levelOf(seen *observed) slog.Level {
	switch {
	case seen.status == http.StatusOK && (seen.route == livePath || seen.route == readyPath):
		return slog.LevelDebug
	case seen.status < http.StatusInternalServerError, errors.Is(seen.err, errNotReady): // the latter as it was told to
		return slog.LevelInfo
	case errors.Is(seen.err, auth.ErrBusy):
		return slog.LevelWarn // anybody can bring it about, and nothing is broken
	}
	return slog.LevelError
}

// requestID takes a proxy's id if it can do no harm in a log, and makes one otherwise.
func requestID(given []string) string {
	const maxBytes = 64
	if len(given) == 1 && given[0] != "" && len(given[0]) <= maxBytes &&
		strings.Trim(given[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == "" {
		return given[0]
	}
	return uuid.Must(uuid.NewV7()).String()
}

// securityHeaders: nothing of this API is a page, so nothing may be framed, run or sniffed, and
// nothing that judges a token may be kept (RFC 6749 §5.1, OWASP ASVS 5.0 §3.4). frame-ancestors has replaced
// X-Frame-Options (ASVS 3.4.6). A ninth header would double what each answer allocates: Go's maps keep
// eight in one piece.
func securityHeaders() http.Header {
	h := http.Header{}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	return h
}

// recorder notes status and length of an answer.
type recorder struct {
	http.ResponseWriter
	seen *observed
}

func (w *recorder) WriteHeader(status int) {
	if w.seen.status == 0 {
		w.seen.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.seen.status == 0 {
		w.seen.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.seen.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
