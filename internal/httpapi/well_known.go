package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"kindred/internal/auth"
)

// handleKeySet: GET /.well-known/jwks.json, the public keys that verify access tokens (RFC 7517 §5).
func (a *API) handleKeySet(w http.ResponseWriter, r *http.Request) error {
	set, err := a.auth.KeySet(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	writePublic(w, r, set)
	return nil
}

// writePublic answers with what everybody may keep for a while; the library compares If-None-Match.
func writePublic(w http.ResponseWriter, r *http.Request, body []byte) {
	digest := sha256.Sum256(body)
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", seconds(auth.JWKSMaxAge)))
	w.Header().Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(digest[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
