package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
)

// Whatever is added below /admin is for admins, and for nobody whom a cookie or a password speaks for.
func TestAdmin_EveryRouteAsksForABearerToken(t *testing.T) {
	t.Parallel()
	api := New(Config{PublicURL: "https://id.example", RequestTimeout: time.Minute, AllowPlaintext: true, Log: slog.New(slog.DiscardHandler)}, nil)
	routes := 0
	err := api.router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil || !strings.HasPrefix(path, "/admin") {
			return nil // a route without a path is none of these
		}
		methods, err := route.GetMethods()
		if err != nil {
			return err
		}
		for _, method := range methods {
			routes++
			r := httptest.NewRequestWithContext(t.Context(), method, strings.ReplaceAll(path, "{id}", "0198c0de-0000-7000-8000-000000000001"), nil)
			r.AddCookie(&http.Cookie{Name: accessCookie, Value: "x"})
			r.SetBasicAuth("boss", "password123")
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if w.Code != http.StatusUnauthorized || method != http.MethodHead && !strings.Contains(w.Body.String(), `"token_required"`) {
				t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s may be kept", method, path)
			}
		}
		return nil
	})
	if err != nil || routes < 10 {
		t.Errorf("%d routes, error %v", routes, err)
	}
}
