package httpapi

import (
	_ "embed"
	"net/http"
)

// The document is written by hand. Tests hold it to the routes, to the table of problems, and to each answer of
// each story in testdata/flows.
//
//go:embed openapi.json
var openAPI []byte

// handleOpenAPI: GET /openapi.json, this API in the words of OpenAPI 3.1. Whoever may read it is as for the keys.
func (a *API) handleOpenAPI(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	writePublic(w, r, openAPI)
	return nil
}
