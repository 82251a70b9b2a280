package httpapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"

	"kindred/internal/auth"
)

// LineageBody is a family with its chain as the API and `kindred explain --json` show it. There is neither
// a hash nor a seal in it, and no age: it stays the same until something happens or expires.
type LineageBody struct {
	Family      FamilyBody       `json:"family"`
	Generations []generationBody `json:"generations"` // oldest first
	Folded      int64            `json:"folded"`      // how many there are beside
	Events      []incidentBody   `json:"events"`
	Reuse       *copyBody        `json:"reuse"`
	Assessment  assessmentBody   `json:"assessment"`
}

// FamilyBody is a family for operators.
type FamilyBody struct {
	ID         string          `json:"id"`
	UserID     string          `json:"userId"`
	Username   *string         `json:"username"`
	ClientID   string          `json:"clientId"`
	CreatedAt  *string         `json:"createdAt"`
	AuthTime   *string         `json:"authTime"`
	ExpiresAt  *string         `json:"expiresAt"` // as SessionBody has them
	EndsAt     *string         `json:"endsAt"`
	Generation int64           `json:"generation"`
	State      string          `json:"state"`
	EndedAt    *string         `json:"endedAt"`
	Revoked    *revocationBody `json:"revoked"`
}

type partyBody struct {
	UserAgent string `json:"userAgent"`
	Address   string `json:"address"`
}

type generationBody struct {
	Generation int64   `json:"generation"`
	TokenID    string  `json:"tokenId"`
	IssuedAt   string  `json:"issuedAt"`
	ReplacedAt *string `json:"replacedAt"`
	partyBody
	Replays int `json:"replays"`
}

type incidentBody struct {
	At        string `json:"at"`
	Kind      string `json:"kind"`
	Actor     string `json:"actor"`
	Reason    string `json:"reason"`
	RequestID string `json:"requestId"`
	partyBody
	Generation *int64 `json:"generation"`
}

type copyBody struct {
	At                  string    `json:"at"`
	RequestID           string    `json:"requestId"`
	PresentedGeneration int64     `json:"presentedGeneration"`
	PresentedBy         partyBody `json:"presentedBy"`
	IssuedAt            *string   `json:"issuedAt"`
	IssuedTo            partyBody `json:"issuedTo"`
	ReplacedAt          *string   `json:"replacedAt"`
	ReplacedBy          partyBody `json:"replacedBy"`
	CurrentGeneration   int64     `json:"currentGeneration"`
	CurrentSince        *string   `json:"currentSince"`
	Holder              partyBody `json:"holder"`
}

type assessmentBody struct {
	Verdict  string   `json:"verdict"`
	Summary  string   `json:"summary"`
	Evidence []string `json:"evidence"`
}

// DefaultGenerations is how many of a chain are read where nobody asks for more.
const DefaultGenerations = 1000

// handleAdminFamily: GET /admin/families/{id}[?limit=N], a family's lineage with its newest N generations.
func (a *API) handleAdminFamily(w http.ResponseWriter, r *http.Request, _ auth.Identity) error {
	id, err := pathID(r, errFamilyNotFound)
	if err != nil {
		return err
	}
	limit, err := generationsOf(r)
	if err != nil {
		return err
	}
	explained, err := a.auth.ExplainFamily(r.Context(), id, limit)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, DescribeLineage(explained))
	return nil
}

func generationsOf(r *http.Request) (int, error) {
	const most = 10_000
	query, err := parameters(r, "limit")
	text, given := query["limit"]
	if err != nil || !given {
		return DefaultGenerations, err
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > most {
		return 0, errMalformed.with(fmt.Sprintf("limit must be a number from 1 to %d.", most))
	}
	return limit, nil
}

// DescribeLineage writes an explanation down in the API's words.
func DescribeLineage(e auth.Explanation) LineageBody {
	body := LineageBody{
		Family: DescribeFamily(auth.ListedFamily{Family: e.Family, State: e.State, EndedAt: e.EndedAt}, e.Username), Folded: e.Folded,
		Generations: make([]generationBody, 0, len(e.Generations)), Events: make([]incidentBody, 0, len(e.Incidents)),
		Assessment: assessmentBody{string(e.Assessment.Finding), e.Assessment.Summary, append([]string{}, e.Assessment.Evidence...)},
	}
	for _, g := range e.Generations {
		body.Generations = append(body.Generations, generationBody{
			g.Number, g.TokenID.String(), timestamp(g.IssuedAt), someTime(g.ReplacedAt), party(g.IssuedTo.UserAgent, g.IssuedTo.Address), g.Replays,
		})
	}
	for _, i := range e.Incidents {
		generation := i.Replayed
		if i.Copy != nil {
			generation = &i.Copy.Presented
		}
		body.Events = append(body.Events, incidentBody{
			timestamp(i.At), i.Kind, i.Actor, i.Reason, i.RequestID, party(i.By.UserAgent, i.By.Address), generation,
		})
	}
	if c := e.Copy; c != nil {
		body.Reuse = &copyBody{
			timestamp(c.At), c.RequestID, c.Presented, party(c.PresentedBy.UserAgent, c.PresentedBy.Address),
			someTime(c.IssuedAt), party(c.IssuedTo.UserAgent, c.IssuedTo.Address), someTime(c.ReplacedAt), party(c.ReplacedBy.UserAgent, c.ReplacedBy.Address),
			c.Current, someTime(c.CurrentSince), party(c.Holder.UserAgent, c.Holder.Address),
		}
	}
	return body
}

// DescribeFamily writes down where a family stands; username is empty for a deleted user.
func DescribeFamily(f auth.ListedFamily, username string) FamilyBody {
	body := FamilyBody{
		ID: f.ID.String(), UserID: f.UserID.String(), ClientID: f.ClientID, Generation: f.Generation, State: string(f.State),
		CreatedAt: someTime(f.CreatedAt), AuthTime: someTime(f.AuthTime), ExpiresAt: someTime(f.IdleExpiresAt), EndsAt: someTime(f.ExpiresAt), EndedAt: someTime(f.EndedAt),
	}
	if username != "" {
		body.Username = &username
	}
	if f.RevokedAt != nil {
		body.Revoked = &revocationBody{timestamp(*f.RevokedAt), string(f.RevokedReason), f.RevokedBy}
	}
	return body
}

func party(userAgent string, address netip.Addr) partyBody {
	if !address.IsValid() {
		return partyBody{UserAgent: userAgent}
	}
	return partyBody{userAgent, address.String()}
}
