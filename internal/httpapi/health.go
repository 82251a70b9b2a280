package httpapi

import "net/http"

// handleLive: GET /livez, that the process serves. It asks nobody: a supervisor that restarted us
// because PostgreSQL is away would make things worse.
func (a *API) handleLive(w http.ResponseWriter, _ *http.Request) error {
	writeStatus(w, "ok")
	return nil
}

// handleReady: GET /readyz, whether a balancer should send requests here.
func (a *API) handleReady(w http.ResponseWriter, r *http.Request) error {
	if a.draining.Load() {
		return errNotReady
	}
	if err := a.auth.Ready(r.Context()); err != nil {
		return err
	}
	writeStatus(w, "ready")
	return nil
}

func writeStatus(w http.ResponseWriter, status string) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{status})
}
