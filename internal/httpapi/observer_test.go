package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// told keeps what an Observer is told.
type told []string

func (l *told) Observed(_ context.Context, route string, status int, took time.Duration) {
	*l = append(*l, http.StatusText(status)+" on "+route)
	if took < 0 {
		*l = append(*l, "a negative duration")
	}
}

// Whatever a stranger asks for, what is counted comes from our own lists.
func TestObserver_IsToldTheRouteAndNeverThePath(t *testing.T) {
	t.Parallel()
	var seen told
	a := New(Config{
		PublicURL: "https://id.example", RequestTimeout: time.Second, Log: slog.New(slog.DiscardHandler), AllowPlaintext: true, Observers: []Observer{&seen},
	}, nil)
	a.Page("/asked/{by}", func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}, http.MethodGet)
	for _, request := range []*http.Request{
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/asked/krt_secret?token=krt_secret", nil),
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/krt_secret", nil),
		httptest.NewRequestWithContext(t.Context(), "KRT_SECRET", "/livez", nil),
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/livez", nil),
	} {
		a.ServeHTTP(httptest.NewRecorder(), request)
	}
	want := told{"No Content on /asked/{by}", "Not Found on not found", "Method Not Allowed on method not allowed", "OK on /livez"}
	if !slices.Equal(seen, want) {
		t.Errorf("told %q, want %q", seen, want)
	}
}

func TestHealth_IsAllThatItsHandlerKnows(t *testing.T) {
	t.Parallel()
	a := New(Config{PublicURL: "https://id.example", RequestTimeout: time.Second, Log: slog.New(slog.DiscardHandler)}, nil)
	a.Drain()
	for path, want := range map[string]int{
		"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/login": http.StatusNotFound, "/": http.StatusNotFound,
	} {
		answer := httptest.NewRecorder()
		a.Health().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if answer.Code != want {
			t.Errorf("%s: %d, want %d", path, answer.Code, want)
		}
	}
}
