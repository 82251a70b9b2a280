package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/family"
)

var (
	explainedAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

	laptop = family.Party{UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Address: netip.MustParseAddr("192.0.2.17")}
	abroad = family.Party{UserAgent: laptop.UserAgent, Address: netip.MustParseAddr("203.0.113.80")}
	script = family.Party{UserAgent: "python-requests/2.32.3", Address: netip.MustParseAddr("198.51.100.7")}
)

// saga is a session for a drawing: it began three days ago, and was used every hour.
type saga struct {
	family    family.Family
	tokens    []family.RefreshToken
	incidents []family.Incident
}

func newSaga(parties ...family.Party) *saga {
	began := explainedAt.Add(-72 * time.Hour)
	s := &saga{family: family.Family{
		ID: uuid.MustParse("0199b5c0-5a7e-7c11-8d61-8c5f3a1f0c01"), UserID: uuid.MustParse("0199b5c0-0000-7c11-8d61-8c5f3a1f0c02"),
		ClientID: family.DefaultClient, CreatedAt: began, AuthTime: began, ExpiresAt: began.Add(720 * time.Hour),
		FirstUserAgent: parties[0].UserAgent, FirstAddress: parties[0].Address,
	}}
	for i, p := range parties {
		s.issue(p, began.Add(time.Duration(i)*time.Hour))
	}
	return s
}

func (s *saga) issue(p family.Party, at time.Time) {
	n := int64(len(s.tokens))
	id := uuid.UUID{15: byte(n + 1), 14: byte((n + 1) >> 8)}
	s.tokens = append(s.tokens, family.RefreshToken{ID: id, Generation: n, IssuedAt: at, UserAgent: p.UserAgent, Address: p.Address})
	f := &s.family
	f.CurrentTokenID, f.Generation, f.RotatedAt, f.IdleExpiresAt = id, n, at, at.Add(240*time.Hour)
	f.LastUserAgent, f.LastAddress = p.UserAgent, p.Address
}

func (s *saga) record(i family.Incident) {
	i.RequestID = "0199c4f2-7d10-7b3e-9f3a-5a0c6d2e4b11"
	s.incidents = append(s.incidents, i)
}

func (s *saga) replay(generation int64, p family.Party, count int) {
	s.record(family.Incident{At: s.family.RotatedAt.Add(2 * time.Second), Kind: "grace_replay", By: p, Replayed: &generation, Count: count})
}

// present lets a party present a generation again, once the current one is that old.
func (s *saga) present(generation int64, p family.Party, later time.Duration, paced bool) {
	f, at := s.family, s.family.RotatedAt.Add(later)
	kind := "reuse_detected"
	if paced {
		kind = "suspected_theft"
	}
	s.record(family.Incident{At: at, Kind: kind, By: p, Copy: &family.Copy{
		At: at, Paced: paced, Presented: generation, PresentedBy: p, IssuedAt: s.tokens[generation].IssuedAt,
		Current: f.Generation, CurrentSince: f.RotatedAt, Holder: family.Party{UserAgent: f.LastUserAgent, Address: f.LastAddress},
	}})
	if !paced {
		s.revoke(family.ReasonReuseDetected, "kindred", p, later)
	}
}

func (s *saga) revoke(reason family.Reason, by string, p family.Party, later time.Duration) {
	at := s.family.RotatedAt.Add(later)
	s.family.RevokedAt, s.family.RevokedReason, s.family.RevokedBy = &at, reason, by
	s.record(family.Incident{At: at, Kind: "family_revoked", Actor: by, Reason: string(reason), By: p})
}

func (s *saga) explanation() auth.Explanation {
	return auth.Explanation{Lineage: family.Trace(s.family, s.tokens, s.incidents, explainedAt, 40), Now: explainedAt, Username: "ana"}
}

func many(p family.Party, n int) []family.Party {
	list := make([]family.Party, n)
	for i := range list {
		list[i] = p
	}
	return list
}

// copies are sagas in which somebody presents a token again.
func copies() map[string]func() *saga {
	return map[string]func() *saga{
		"two_tabs": func() *saga {
			s := newSaga(many(laptop, 3)...)
			s.replay(1, laptop, 1)
			s.issue(laptop, s.family.RotatedAt.Add(time.Hour))
			s.present(2, laptop, 14*time.Second, false)
			return s
		},
		"lost_response": func() *saga {
			s := newSaga(many(laptop, 4)...)
			s.present(2, laptop, 25*time.Minute, false)
			return s
		},
		"stale_client": func() *saga {
			s := newSaga(many(laptop, 30)...)
			s.present(4, laptop, 3*time.Hour, false)
			return s
		},
		"theft": func() *saga {
			s := newSaga(many(laptop, 3)...)
			for range 3 {
				s.issue(script, s.family.RotatedAt.Add(50*time.Minute))
			}
			s.present(2, laptop, 12*time.Minute, false)
			return s
		},
		"uncertain": func() *saga {
			s := newSaga(many(laptop, 3)...)
			s.present(1, abroad, 12*time.Minute, false)
			return s
		},
		"paced_theft": func() *saga {
			s := newSaga(laptop, laptop, script, laptop)
			for generation := range int64(3) {
				s.replay(generation, script, 1)
			}
			s.present(2, script, time.Second, true)
			s.revoke(family.ReasonPacedTheft, "kindred", script, time.Second)
			return s
		},
		"suspected_theft": func() *saga {
			s := newSaga(laptop, laptop, script, laptop)
			s.present(2, script, time.Second, true)
			return s
		},
		"purged": func() *saga {
			s := newSaga(many(laptop, 9)...)
			s.present(4, script, 5*time.Minute, false)
			s.tokens, s.family.CurrentTokenID = nil, uuid.Nil
			return s
		},
	}
}

// ends are sagas of all other ends, and of none.
func ends() map[string]func() *saga {
	owner := "user:0199b5c0-0000-7c11-8d61-8c5f3a1f0c02"
	return map[string]func() *saga{
		"live": func() *saga {
			s := newSaga(many(laptop, 4)...)
			s.replay(2, laptop, 3)
			return s
		},
		"logout": func() *saga {
			s := newSaga(many(laptop, 2)...)
			s.revoke(family.ReasonLogout, owner, laptop, 5*time.Minute)
			return s
		},
		"disabled_user": func() *saga {
			s := newSaga(many(laptop, 2)...)
			s.revoke(family.ReasonUserDisabled, "cli", family.Party{}, 5*time.Minute)
			s.incidents[0].RequestID = ""
			return s
		},
		"session_limit": func() *saga {
			s := newSaga(many(laptop, 2)...)
			s.revoke(family.ReasonSessionLimit, "kindred", abroad, 5*time.Minute)
			return s
		},
		"idle": func() *saga {
			s := newSaga(many(laptop, 2)...)
			s.family.IdleExpiresAt = s.family.RotatedAt.Add(24 * time.Hour)
			return s
		},
		"token_lost": func() *saga {
			s := newSaga(many(laptop, 3)...)
			s.record(family.Incident{At: s.family.RotatedAt.Add(time.Hour), Kind: "token_lost", By: laptop, TokenLost: true})
			return s
		},
		"long_chain": func() *saga {
			s := newSaga(many(laptop, 60)...)
			s.replay(30, laptop, 2)
			return s
		},
		"purged_tokens": func() *saga {
			s := newSaga(many(laptop, 9)...)
			s.revoke(family.ReasonLogout, owner, laptop, 5*time.Minute)
			s.tokens = nil
			return s
		},
	}
}

func ofUser() auth.Answer {
	older := newSaga(laptop)
	older.revoke(family.ReasonLogout, "user:"+older.family.UserID.String(), laptop, time.Minute)
	newer := newSaga(many(laptop, 4)...)
	newer.family.ID[15] = 9
	newer.present(1, script, 2*time.Hour, false)
	answer := auth.Answer{Username: "ana", More: true}
	for _, s := range []*saga{newer, older} {
		state, ended := s.family.StateAt(explainedAt)
		answer.Sessions = append(answer.Sessions, auth.ListedFamily{Family: s.family, State: state, EndedAt: ended})
	}
	e := newer.explanation()
	answer.Explanation = &e
	return answer
}

// ofRequest is a login through which the oldest session ended.
func ofRequest() auth.Answer {
	s := ends()["session_limit"]()
	e, user := s.explanation(), uuid.NullUUID{UUID: s.family.UserID, Valid: true}
	return auth.Answer{Explanation: &e, Request: []audit.Event{
		{At: *s.family.RevokedAt, Kind: audit.LoginOK, UserID: user, RequestID: s.incidents[0].RequestID},
		{At: *s.family.RevokedAt, Kind: audit.FamilyRevoked, UserID: user, FamilyID: uuid.NullUUID{UUID: s.family.ID, Valid: true}, RequestID: s.incidents[0].RequestID},
	}}
}

func TestExplain_Drawings(t *testing.T) {
	t.Parallel()
	answers := map[string]auth.Answer{"user": ofUser(), "request": ofRequest()}
	for _, sagas := range []map[string]func() *saga{copies(), ends()} {
		for name, tell := range sagas {
			e := tell().explanation()
			answers[name] = auth.Answer{Explanation: &e}
		}
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d drawing
			d.answer(answer)
			wantGolden(t, filepath.Join("..", "..", "testdata", "explain", name+".txt"), d.text.String())
		})
	}
}

func wantGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test ./cmd/kindred -run Explain_Drawings -update writes it anew):\n%s", file, diff)
	}
}

// What a client sends as its name must not steer the operator's terminal.
func TestExplain_NothingSteersTheTerminal(t *testing.T) {
	t.Parallel()
	evil := family.Party{UserAgent: "a\x1b]0;pwned\x07b\u202ec\u009b31md\r\ne\u200bf", Address: laptop.Address}
	s := newSaga(evil, laptop, laptop)
	s.present(0, evil, time.Hour, false)
	e := s.explanation()
	e.Username = "eve\x1b[2J"
	var d drawing
	d.answer(auth.Answer{Explanation: &e, Username: e.Username})
	if text := d.text.String(); strings.ContainsAny(text, "\x1b\x07\u202e\u009b\r\u200b") {
		t.Errorf("%q", text)
	}
}

func TestExplain_ColoursOnlyWhereTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	s := newSaga(laptop, laptop, laptop)
	s.present(0, script, time.Hour, false)
	e := s.explanation()
	for _, colour := range []bool{true, false} {
		d := drawing{colour: colour}
		d.answer(auth.Answer{Explanation: &e})
		if got := strings.Contains(d.text.String(), "\x1b["); got != colour {
			t.Errorf("colour %v, and codes %v", colour, got)
		}
	}
}

// What the pages show is what the program draws.
func TestExplain_ExampleOfTheDocs(t *testing.T) {
	t.Parallel()
	drawn, err := os.ReadFile(filepath.Join("..", "..", "testdata", "explain", "theft.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"README.md", filepath.Join("docs", "explain.md")} {
		text, err := os.ReadFile(filepath.Join("..", "..", page))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "```\n"+string(drawn)+"```\n") {
			t.Errorf("%s does not show testdata/explain/theft.txt as it is", page)
		}
	}
}
