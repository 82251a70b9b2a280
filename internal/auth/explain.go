package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"kindred/internal/account"
	"kindred/internal/audit"
	"kindred/internal/family"
	"kindred/internal/store"
)

// ErrNothingKnown: no family, user or request is known by what was asked for.
var ErrNothingKnown = fmt.Errorf("nothing is known by that: %w", ErrFamilyNotFound)

// Explanation is why a session is where it is.
type Explanation struct {
	family.Lineage
	Now      time.Time // by the database
	Username string    // empty where the user was deleted
}

// Answer is all that is known of what an operator asked about.
type Answer struct {
	Username    string         // where it was a user, living
	Sessions    []ListedFamily // of that user, newest first; the one that is explained is among them
	More        bool           // the user has others
	Request     []audit.Event
	Explanation *Explanation // nil where a user never logged in, or a request touched no family
}

// ExplainFamily explains one family from its newest generations, however it stands. ErrFamilyNotFound if
// there never was one of that id, or nothing of it is left.
func (s *Service) ExplainFamily(ctx context.Context, id uuid.UUID, generations int) (Explanation, error) {
	read, err := s.store.Lineage(ctx, id, generations)
	if err != nil {
		return Explanation{}, err
	}
	f := family.Family{ID: id}
	switch {
	case read.Family != nil:
		f = *read.Family
	case len(read.Events) == 0:
		return Explanation{}, ErrFamilyNotFound
	default:
		f = remembered(f, read.Events)
	}
	incidents := make([]family.Incident, 0, len(read.Events))
	for _, e := range read.Events {
		incidents = append(incidents, incident(e))
	}
	return Explanation{Lineage: family.Trace(f, read.Tokens, incidents, read.Now, generations), Now: read.Now, Username: read.Username}, nil
}

// remembered fills a family whose row is gone from the audit trail.
func remembered(f family.Family, events []audit.Event) family.Family {
	f.UserID, f.ClientID, f.CreatedAt = events[0].UserID.UUID, events[0].ClientID, events[0].At
	for _, e := range events {
		if e.Kind == audit.FamilyRevoked {
			f.RevokedAt, f.RevokedReason, f.RevokedBy = &e.At, family.Reason(e.Reason), e.Actor
		}
	}
	return f
}

// Explain answers an operator who has the id of a family, the name or id of a user, or the id of a request.
// Of a user it explains the session that ended last other than by a logout, since that is the one somebody
// asks about. ErrNothingKnown if it is none of these.
func (s *Service) Explain(ctx context.Context, what string, generations int) (Answer, error) {
	ways := []func(context.Context, string, int) (Answer, error){s.explainUserByName, s.explainRequest}
	if _, err := uuid.Parse(what); err == nil {
		// A name that looks like an id must not hide what has it.
		ways = []func(context.Context, string, int) (Answer, error){s.explainByID, s.explainRequest, s.explainUserByName}
	}
	for _, way := range ways {
		answer, err := way(ctx, what, generations)
		if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, ErrFamilyNotFound) {
			return answer, err
		}
	}
	return Answer{}, ErrNothingKnown
}

func (s *Service) explainByID(ctx context.Context, what string, generations int) (Answer, error) {
	id, err := uuid.Parse(what)
	if err != nil {
		return Answer{}, err
	}
	e, err := s.ExplainFamily(ctx, id, generations)
	if err == nil {
		return Answer{Explanation: &e}, nil
	}
	if !errors.Is(err, ErrFamilyNotFound) {
		return Answer{}, err
	}
	user, err := s.store.UserByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		user, err = account.User{ID: id}, nil // deleted, and its families may stand
	}
	if err != nil {
		return Answer{}, err
	}
	return s.explainUser(ctx, user, generations)
}

func (s *Service) explainUserByName(ctx context.Context, what string, generations int) (Answer, error) {
	user, err := s.findUser(ctx, what)
	if err != nil {
		return Answer{}, err
	}
	return s.explainUser(ctx, user, generations)
}

func (s *Service) explainUser(ctx context.Context, user account.User, generations int) (Answer, error) {
	const most, shown = 1000, 30
	families, _, now, err := s.store.FamilyPage(ctx, user.ID, nil, uuid.Max, most)
	if err != nil {
		return Answer{}, err
	}
	if len(families) == 0 && user.CreatedAt.IsZero() {
		return Answer{}, store.ErrNotFound
	}
	if len(families) == 0 {
		return Answer{Username: user.Username}, nil
	}
	var sessions []ListedFamily
	for _, f := range families {
		sessions = append(sessions, listed(f, now))
	}
	asked := askedAbout(sessions)
	e, err := s.ExplainFamily(ctx, sessions[asked].Family.ID, generations)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Username: user.Username, Sessions: sessions[:min(len(sessions), shown)], More: len(sessions) > shown, Explanation: &e}
	if asked >= shown {
		answer.Sessions = append(slices.Clone(answer.Sessions), sessions[asked])
	}
	return answer, nil
}

// askedAbout is the place of the session that ended last otherwise than by a logout, or else of the newest.
func askedAbout(sessions []ListedFamily) (asked int) {
	var last time.Time
	for i, u := range sessions {
		if u.EndedAt.After(last) && u.Family.RevokedReason != family.ReasonLogout {
			asked, last = i, u.EndedAt
		}
	}
	return asked
}

func (s *Service) explainRequest(ctx context.Context, what string, generations int) (Answer, error) {
	const most = 100
	if !isText(what) {
		return Answer{}, store.ErrNotFound
	}
	events, err := s.store.EventsOfRequest(ctx, what, most)
	if err != nil {
		return Answer{}, err
	}
	if len(events) == 0 {
		return Answer{}, store.ErrNotFound
	}
	answer := Answer{Request: events}
	// The last: where requests share an id, it is the newest of them.
	for _, e := range slices.Backward(events) {
		if e.FamilyID.Valid {
			explanation, err := s.ExplainFamily(ctx, e.FamilyID.UUID, generations)
			answer.Explanation = &explanation
			return answer, err
		}
	}
	return answer, nil
}

// incident reads an event by what its kind keeps in its detail.
func incident(e audit.Event) family.Incident {
	i := family.Incident{
		At: e.At, Kind: string(e.Kind), Reason: e.Reason, Actor: e.Actor, RequestID: e.RequestID,
		By: family.Party{UserAgent: e.UserAgent, Address: e.Address}, TokenLost: e.Kind == audit.TokenLost,
	}
	switch e.Kind {
	case audit.GraceReplay:
		i.Count = 1
		if count, there := numberIn(e.Detail, "replays"); there {
			i.Count = int(count)
		}
		if generation, there := numberIn(e.Detail, "generation"); there {
			i.Replayed = &generation
		}
	case audit.ReuseDetected, audit.SuspectedTheft:
		i.Copy = copyIn(e, i.By)
	}
	return i
}

// copyIn reads what copied has written.
func copyIn(e audit.Event, presenter family.Party) *family.Copy {
	c := family.Copy{At: e.At, RequestID: e.RequestID, Paced: e.Kind == audit.SuspectedTheft, PresentedBy: presenter}
	var there bool
	if c.Presented, there = numberIn(e.Detail, "presented_generation"); !there {
		return nil
	}
	c.Current, _ = numberIn(e.Detail, "current_generation")
	c.IssuedAt, c.CurrentSince = timeIn(e.Detail, "presented_issued_at"), timeIn(e.Detail, "current_rotated_at")
	c.Holder.UserAgent, _ = e.Detail["current_user_agent"].(string)
	address, _ := e.Detail["current_address"].(string)
	c.Holder.Address, _ = netip.ParseAddr(address) // not valid: not known
	return &c
}

func numberIn(detail map[string]any, name string) (int64, bool) {
	number, there := detail[name].(float64)
	return int64(number), there
}

func timeIn(detail map[string]any, name string) time.Time {
	text, _ := detail[name].(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return at
}
