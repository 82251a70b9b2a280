package httpapi

import (
	"net/http"

	"github.com/gorilla/mux"
)

// Health is a handler that knows /livez and /readyz only, for another listener.
func (a *API) Health() http.Handler {
	router := mux.NewRouter()
	for path, handle := range map[string]handler{"/livez": a.handleLive, "/readyz": a.handleReady} {
		router.Handle(path, a.at(path, handle)).Methods(http.MethodGet, http.MethodHead)
	}
	return a.observe(router)
}

const livePath, readyPath = "/livez", "/readyz"

// handleLive: GET /livez, that the process serves. It asks nobody: a supervisor that restarted us
// because PostgreSQL is away would make things worse.
func (a *API) handleLive(w http.ResponseWriter, _ *http.Request) error {
	writeStatus(w, "ok", "")
	return nil
}

// handleReady: GET /readyz, whether a balancer should send requests here.
func (a *API) handleReady(w http.ResponseWriter, r *http.Request) error {
	if a.draining.Load() {
		return errNotReady
	}
	hint, err := a.auth.Ready(r.Context())
	if err != nil {
		return err
	}
	writeStatus(w, "ready", hint)
	return nil
}

func writeStatus(w http.ResponseWriter, status, detail string) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{status, detail})
}
