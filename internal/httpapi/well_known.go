package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"kindred/internal/auth"
	"kindred/internal/oauth"
)

// handleKeySet: GET /.well-known/jwks.json, the public keys that verify access tokens (RFC 7517 §5).
func (a *API) handleKeySet(w http.ResponseWriter, r *http.Request) error {
	set, current, err := a.auth.KeySet(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	if !current { // the answer keeps its no-store
		serveWhole(w, r, set)
		return nil
	}
	writePublic(w, r, set)
	return nil
}

// handleMetadata: GET /.well-known/oauth-authorization-server, what a client library needs to find its way
// (RFC 8414 §2). The issuer is an origin, so that there is no path to put behind (§3).
func (a *API) handleMetadata(w http.ResponseWriter, r *http.Request) error {
	authenticated := []string{oauth.AuthBasic, oauth.AuthPost}
	all := append(authenticated, oauth.AuthNone)
	body, err := json.Marshal(struct {
		Issuer                   string   `json:"issuer"`
		TokenEndpoint            string   `json:"token_endpoint"`
		TokenAuthMethods         []string `json:"token_endpoint_auth_methods_supported"`
		RevocationEndpoint       string   `json:"revocation_endpoint"`
		RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
		IntrospectionEndpoint    string   `json:"introspection_endpoint"`
		IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
		KeySetURI                string   `json:"jwks_uri"`
		GrantTypes               []string `json:"grant_types_supported"`
		ResponseTypes            []string `json:"response_types_supported"` // required; there is no authorization endpoint
	}{
		a.config.PublicURL, a.config.PublicURL + "/token", all, a.config.PublicURL + "/revoke", all,
		a.config.PublicURL + "/introspect", authenticated, a.config.PublicURL + "/.well-known/jwks.json",
		[]string{oauth.GrantRefreshToken}, []string{},
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	writePublic(w, r, body)
	return nil
}

// writePublic answers with what everybody may keep for a while.
func writePublic(w http.ResponseWriter, r *http.Request, body []byte) {
	digest := sha256.Sum256(body)
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", seconds(auth.JWKSMaxAge)))
	w.Header().Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(digest[:16])+`"`)
	serveWhole(w, r, body)
}

// serveWhole lets the library compare If-None-Match, and shows it no other header: it would give out parts of the
// body, and refuse ranges and preconditions in words that are no problem of ours.
func serveWhole(w http.ResponseWriter, r *http.Request, body []byte) {
	asked := r.WithContext(r.Context())
	asked.Header = http.Header{"If-None-Match": r.Header["If-None-Match"]}
	http.ServeContent(w, asked, "", time.Time{}, bytes.NewReader(body))
}
