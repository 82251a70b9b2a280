package httpapi

import (
	"net/http"
	"strings"
	"time"

	"kindred/internal/audit"
	"kindred/internal/auth"
)

// EventBody is an event of the audit trail for admins, as `kindred events --json` shows it too.
type EventBody struct {
	ID        string         `json:"id"`
	At        string         `json:"at"` // to the microsecond, by which events are sorted
	Kind      string         `json:"kind"`
	Reason    string         `json:"reason"`
	Actor     string         `json:"actor"`
	UserID    *string        `json:"userId"`
	FamilyID  *string        `json:"familyId"`
	ClientID  string         `json:"clientId"`
	IP        string         `json:"ip"`
	UserAgent string         `json:"userAgent"`
	RequestID string         `json:"requestId"`
	Detail    map[string]any `json:"detail"`
}

// DescribeEvent writes an event down for admins.
func DescribeEvent(e audit.Event) EventBody {
	body := EventBody{
		ID: e.ID.String(), At: e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), Kind: string(e.Kind), Reason: e.Reason, Actor: e.Actor,
		ClientID: e.ClientID, UserAgent: e.UserAgent, RequestID: e.RequestID, Detail: e.Detail,
	}
	if e.UserID.Valid {
		body.UserID = new(e.UserID.UUID.String())
	}
	if e.FamilyID.Valid {
		body.FamilyID = new(e.FamilyID.UUID.String())
	}
	if e.Address.IsValid() {
		body.IP = e.Address.String()
	}
	return body
}

// handleAdminEvents: GET /admin/events[?user=&family=&kind=&requestId=&since=&until=&limit=&cursor=], the
// audit trail, the newest first. kind may be several, separated by commas.
func (a *API) handleAdminEvents(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	query, err := parameters(r, "user", "family", "kind", "requestId", "since", "until", "limit", "cursor")
	if err != nil {
		return err
	}
	wanted := auth.EventQuery{User: query["user"], FamilyID: query["family"], RequestID: query["requestId"]}
	if query["kind"] != "" {
		wanted.Kinds = strings.Split(query["kind"], ",")
	}
	if wanted.Since, err = instant(query, "since"); err != nil {
		return err
	}
	if wanted.Until, err = instant(query, "until"); err != nil {
		return err
	}
	found, err := a.auth.Events(r.Context(), wanted, page(query))
	if err != nil {
		return err
	}
	list := make([]EventBody, 0, len(found.Events))
	for _, e := range found.Events {
		list = append(list, DescribeEvent(e))
	}
	writeJSON(w, http.StatusOK, struct {
		Events []EventBody `json:"events"`
		Next   *string     `json:"next"`
	}{list, next(found.Next)})
	return nil
}

// instant reads a time of RFC 3339; the zero time if the query has none.
func instant(query map[string]string, name string) (time.Time, error) {
	if query[name] == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, query[name])
	if err != nil {
		return time.Time{}, errMalformed.with(name + " must be a time like 2026-05-01T12:00:00Z.")
	}
	return at, nil
}
