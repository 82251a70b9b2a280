package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/family"
)

// style is how a line looks on a terminal that shows colours: an SGR code.
type style string

const (
	plain style = ""
	bold  style = "1"
	faint style = "2"
	alarm style = "1;31"
	fine  style = "32"
)

// drawing is what explain prints. Whatever a client or an operator once wrote passes through line, which
// lets nothing through that would steer a terminal.
type drawing struct {
	text   strings.Builder
	colour bool
	all    bool
	width  int // of the generations' numbers
}

func (d *drawing) line(s style, format string, args ...any) {
	text := visibly(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	if d.colour && s != plain && text != "" {
		text = "\x1b[" + string(s) + "m" + text + "\x1b[0m"
	}
	d.text.WriteString(text + "\n")
}

// paragraph breaks text between words.
func (d *drawing) paragraph(first, rest, text string) {
	const width = 98
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			d.line(plain, "%s", line)
			line = rest
		} else if i > 0 {
			line += " "
		}
		line += word
	}
	d.line(plain, "%s", line)
}

func (d *drawing) answer(a auth.Answer) {
	d.sessions(a)
	d.request(a)
	if a.Explanation == nil {
		return
	}
	e := *a.Explanation
	d.head(e)
	d.line(plain, "")
	d.tree(e)
	d.line(plain, "")
	d.assessment(e.Assessment)
}

func (d *drawing) sessions(a auth.Answer) {
	if a.Explanation != nil && len(a.Sessions) == 0 || a.Request != nil {
		return
	}
	if len(a.Sessions) == 0 {
		d.line(plain, "%s has no session on record.", a.Username)
		return
	}
	d.line(bold, "Sessions of %s, newest first", nameOf(a.Username, a.Sessions[0].Family))
	d.line(faint, "  %-36s  %-19s  %-19s  BECAUSE", "SESSION", "BEGAN", "ENDED")
	for _, u := range a.Sessions {
		mark, end := " ", "live"
		if u.State != family.StateLive {
			end = stamp(u.EndedAt) + "  " + ending(u.Family, u.State)
		}
		s := plain
		if a.Explanation != nil && a.Explanation.Family.ID == u.Family.ID {
			mark, s = "▸", bold
		}
		d.line(s, "%s %s  %s  %s", mark, u.Family.ID, stamp(u.Family.CreatedAt), end)
	}
	if a.More {
		d.line(faint, "  and others")
	}
	d.line(plain, "")
}

// because is the reason of an event, and what else is kept of it.
func because(e audit.Event) string {
	words := []string{}
	if e.Reason != "" {
		words = append(words, e.Reason)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
		words = append(words, fmt.Sprintf("%s %v", name, e.Detail[name]))
	}
	return visibly(strings.Join(words, ", "))
}

func (d *drawing) request(a auth.Answer) {
	if a.Request == nil {
		return
	}
	d.line(bold, "What request %s recorded", a.Request[0].RequestID)
	for _, e := range a.Request {
		about := ""
		if e.FamilyID.Valid {
			about = "session " + e.FamilyID.UUID.String()
		} else if e.UserID.Valid {
			about = "user " + e.UserID.UUID.String()
		}
		d.line(plain, "  %s  %-17s %s", stamp(e.At), e.Kind, about)
		if e.Reason != "" || len(e.Detail) > 0 {
			d.line(faint, "      %s", because(e))
		}
	}
	d.line(plain, "")
}

func (d *drawing) head(e auth.Explanation) {
	f := e.Family
	name := nameOf(e.Username, f)
	if e.State == family.StatePurged {
		name = "user " + f.UserID.String()
	}
	d.line(bold, "Session %s of %s, client %s", f.ID, name, f.ClientID)
	d.line(plain, "  began    %s  %s ago (all times are UTC)", stamp(f.CreatedAt), family.InWords(e.Now.Sub(f.CreatedAt)))
	if e.State == family.StatePurged {
		d.line(plain, "  purged   its chain is gone; this is what the audit trail tells:")
		return
	}
	if e.State == family.StateLive {
		d.line(plain, "  live     until %s, longer if it is used", stamp(f.IdleExpiresAt))
		return
	}
	d.line(plain, "  ended    %s  %s ago, after %s", stamp(e.EndedAt), family.InWords(e.Now.Sub(e.EndedAt)), family.InWords(e.EndedAt.Sub(f.CreatedAt)))
	d.line(plain, "  because  %s", ending(f, e.State))
}

// ending is a reason and who it was, in short.
func ending(f family.Family, state family.State) string {
	if state != family.StateRevoked {
		return string(state)
	}
	return string(f.RevokedReason) + ", by " + family.ActorInWords(f.RevokedBy, f.UserID)
}

func (d *drawing) assessment(a family.Assessment) {
	titles := map[family.Finding]string{
		family.FindingTwoTabs: "TWO TABS", family.FindingLostResponse: "LOST RESPONSE", family.FindingStaleClient: "STALE CLIENT",
		family.FindingLikelyTheft: "LIKELY THEFT", family.FindingUncertain: "UNCERTAIN", family.FindingTokenLost: "TOKEN LOST",
	}
	title, copied := titles[a.Finding]
	switch {
	case a.Finding == family.FindingLikelyTheft:
		d.line(alarm, "%s", title)
	case copied:
		d.line(bold, "%s", title)
	}
	d.paragraph("", "", a.Summary)
	for _, sentence := range a.Evidence {
		d.paragraph("  - ", "    ", sentence)
	}
}

func nameOf(username string, f family.Family) string {
	if username == "" {
		return "a deleted user (" + f.UserID.String() + ")"
	}
	return username
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// by names a party in little room.
func by(p family.Party) string {
	address := "unknown address"
	if p.Address.IsValid() {
		address = p.Address.String()
	}
	return p.Agent() + "  " + address
}
