// Package web holds the pages that Kindred shows to people. They work without a script: each is a form that
// posts to its own path, and nothing else loads, runs or frames it. Below it are the same use cases as below
// package httpapi, whose middleware they run behind.
package web

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"kindred/internal/auth"
	"kindred/internal/httpapi"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var style string

// pages renders; it is made once, at the start.
type pages struct {
	auth     *auth.Service
	template *template.Template
	policy   string // Content-Security-Policy
}

// Mount adds the pages to the routes of an API that does not serve yet.
func Mount(api *httpapi.API, service *auth.Service) {
	digest := sha256.Sum256([]byte(style))
	p := &pages{
		auth:     service,
		template: template.Must(template.New("page").Parse(pageHTML)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) +
			"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
	api.Page("/reset", p.showReset, http.MethodGet, http.MethodHead)
	api.Page("/reset", p.submitReset, http.MethodPost)
}

// page is what a page says.
type page struct {
	Style   template.CSS
	Title   string
	Message string
	Form    *resetForm // nil: no form
}

func (p *pages) write(w http.ResponseWriter, status int, content page) error {
	content.Style = template.CSS(style) // our own file
	w.Header().Set("Content-Security-Policy", p.policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	return p.template.Execute(w, content)
}
