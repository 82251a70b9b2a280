package httpapi

import (
	"net/http"

	"kindred/internal/auth"
)

// SessionBody is a family for admins, as `kindred session list --json` shows it too.
type SessionBody struct {
	ID         string          `json:"id"`
	UserID     string          `json:"userId"`
	ClientID   string          `json:"clientId"`
	State      string          `json:"state"`
	CreatedAt  string          `json:"createdAt"`
	LastUsedAt string          `json:"lastUsedAt"`
	ExpiresAt  string          `json:"expiresAt"` // if it is not used until then
	EndsAt     string          `json:"endsAt"`    // whatever happens
	Generation int64           `json:"generation"`
	UserAgent  string          `json:"userAgent"`
	IP         string          `json:"ip"`
	EndedAt    *string         `json:"endedAt"`
	Revoked    *revocationBody `json:"revoked"`
}

type revocationBody struct {
	At     string `json:"at"`
	Reason string `json:"reason"`
	By     string `json:"by"`
}

// DescribeSession writes a family down for admins.
func DescribeSession(f auth.ListedFamily) SessionBody {
	body := SessionBody{
		ID: f.ID.String(), UserID: f.UserID.String(), ClientID: f.ClientID, State: string(f.State),
		CreatedAt: timestamp(f.CreatedAt), LastUsedAt: timestamp(f.RotatedAt),
		ExpiresAt: timestamp(f.IdleExpiresAt), EndsAt: timestamp(f.ExpiresAt),
		Generation: f.Generation, UserAgent: f.LastUserAgent, EndedAt: someTime(f.EndedAt),
	}
	if f.LastAddress.IsValid() {
		body.IP = f.LastAddress.String()
	}
	if f.RevokedAt != nil {
		body.Revoked = &revocationBody{timestamp(*f.RevokedAt), string(f.RevokedReason), f.RevokedBy}
	}
	return body
}

// handleAdminSessions: GET /admin/users/{id}/sessions[?state=&limit=&cursor=], a user's families, the newest
// first.
func (a *API) handleAdminSessions(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	id, err := pathID(r, errUserNotFound)
	if err != nil {
		return err
	}
	query, err := parameters(r, "state", "limit", "cursor")
	if err != nil {
		return err
	}
	found, err := a.auth.Families(r.Context(), id.String(), auth.FamilyQuery{State: query["state"], Page: page(query)})
	if err != nil {
		return err
	}
	list := make([]SessionBody, 0, len(found.Families))
	for _, f := range found.Families {
		list = append(list, DescribeSession(f))
	}
	writeJSON(w, http.StatusOK, struct {
		Sessions []SessionBody `json:"sessions"`
		Next     *string       `json:"next"`
	}{list, next(found.Next)})
	return nil
}

// handleAdminEndSessions: DELETE /admin/users/{id}/sessions, all of them; the answer tells how many that were.
func (a *API) handleAdminEndSessions(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	id, err := target(r, errUserNotFound)
	if err != nil {
		return err
	}
	ended, err := a.auth.RevokeSessions(r.Context(), callerOf(r), id.String())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Ended int `json:"ended"`
	}{ended})
	return nil
}

// handleAdminEndSession: DELETE /admin/sessions/{id}. It is 204 for one that had ended before too.
func (a *API) handleAdminEndSession(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	id, err := target(r, errFamilyNotFound)
	if err != nil {
		return err
	}
	if err := a.auth.RevokeSession(r.Context(), callerOf(r), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
