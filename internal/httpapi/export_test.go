package httpapi

import "github.com/gorilla/mux"

// Router has the routes of the pages too, which package web mounts.
func (a *API) Router() *mux.Router { return a.router }
