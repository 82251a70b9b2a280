package httpapi

import "net/http"

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
