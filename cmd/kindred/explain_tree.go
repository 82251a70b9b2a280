package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kindred/internal/audit"
	"kindred/internal/auth"
	"kindred/internal/family"
)

// tree draws the chain, one node a generation, and where somebody presented a copy a branch.
func (d *drawing) tree(e auth.Explanation) {
	shown := d.nodes(e.Lineage)
	d.width = len(fmt.Sprint(e.Family.Generation))
	for i, node := range shown {
		next := time.Time{}
		if i+1 < len(shown) {
			next = shown[i+1].IssuedAt
		}
		if i > 0 {
			d.gap(node.Number - shown[i-1].Number - 1)
		}
		d.node(e, node, i > 0 && node.IssuedTo.IsForeign(shown[i-1].IssuedTo))
		d.befell(e.Lineage, node, next)
	}
	d.root(e)
}

func (d *drawing) node(e auth.Explanation, node family.Generation, foreign bool) {
	sign, s, note := "○", plain, ""
	if node.Number == e.Family.Generation {
		sign, s, note = "●", bold, "  current"
		if e.State != family.StateLive {
			note = "  the last"
		}
	}
	if node.Number == 0 {
		note += "  login"
	}
	if foreign {
		s, note = alarm, note+"  another party"
	}
	d.line(s, "  %s %*d  %s  %s%s", sign, d.width, node.Number, stamp(node.IssuedAt), by(node.IssuedTo), note)
}

// nodes are the generations to draw: the first, the last, and those to which something happened. The first
// and the last of all stand in the family's own row, whatever became of the chain.
func (d *drawing) nodes(l family.Lineage) []family.Generation {
	const first, last, eventful = 3, 20, 20
	f := l.Family
	if l.State == family.StatePurged {
		return nil
	}
	chain := slices.Clone(l.Generations)
	if len(chain) == 0 || chain[0].Number > 0 {
		begin := family.Generation{IssuedAt: f.CreatedAt, IssuedTo: family.Party{UserAgent: f.FirstUserAgent, Address: f.FirstAddress}}
		chain = slices.Insert(chain, 0, begin)
	}
	if chain[len(chain)-1].Number < f.Generation {
		chain = append(chain, family.Generation{
			Number: f.Generation, IssuedAt: f.RotatedAt, IssuedTo: family.Party{UserAgent: f.LastUserAgent, Address: f.LastAddress},
		})
	}
	var shown []family.Generation
	left := eventful
	for _, g := range slices.Backward(chain) {
		near := g.Number < first || g.Number > f.Generation-last || l.Copy != nil && g.Number >= l.Copy.Presented && g.Number <= l.Copy.Presented+1
		if !near && g.Replays > 0 && left > 0 {
			near = true
			left--
		}
		if near || d.all {
			shown = append(shown, g)
		}
	}
	slices.Reverse(shown)
	return shown
}

func (d *drawing) gap(hidden int64) {
	switch {
	case hidden == 1:
		d.line(faint, "  ⋮ 1 generation")
	case hidden > 1:
		d.line(faint, "  ⋮ %d generations", hidden)
	}
}

// beside draws something about the node above, under its time.
func (d *drawing) beside(s style, format string, args ...any) {
	d.line(s, "  │  %*s%s", d.width, "", "  "+fmt.Sprintf(format, args...))
}

// befell draws what happened to a generation, and what else happened until the next one that is drawn.
func (d *drawing) befell(l family.Lineage, node family.Generation, next time.Time) {
	if node.Replays > 0 {
		d.beside(faint, "↺ presented %s inside the reuse interval", moreTimes(node.Replays))
	}
	for _, i := range l.Incidents {
		during := !i.At.Before(node.IssuedAt) && (next.IsZero() || i.At.Before(next))
		switch {
		case i.Copy != nil && i.Copy.Presented == node.Number:
			d.branch(i, node)
		case during && (i.TokenLost || i.Kind == string(audit.TokenRevoked)):
			d.beside(plain, "! %s  %s  %s", stamp(i.At), i.Kind, by(i.By))
		}
	}
}

func (d *drawing) branch(i family.Incident, node family.Generation) {
	again := "presented again"
	if i.Copy.Paced {
		again = "by turns with the holder"
	}
	d.line(alarm, "  ├%s✗ %s  %s  %s", strings.Repeat("─", d.width+1), stamp(i.At), by(i.By), again)
	ages := family.InWords(i.At.Sub(node.IssuedAt)) + " after it was issued"
	if !node.ReplacedAt.IsZero() {
		ages += ", " + family.InWords(i.At.Sub(node.ReplacedAt)) + " after it was replaced"
	}
	d.beside(plain, "%s,", ages)
	d.beside(plain, "while generation %d was current", i.Copy.Current)
	d.beside(faint, "request %s", i.RequestID)
}

func moreTimes(n int) string {
	if n == 1 {
		return "once more"
	}
	return fmt.Sprintf("%d more times", n)
}

// root ends the tree with where the family stands.
func (d *drawing) root(e auth.Explanation) {
	f := e.Family
	if len(e.Generations) == 0 && e.State != family.StatePurged {
		d.line(faint, "  ⋮ its tokens were purged")
	}
	if e.State == family.StatePurged {
		for _, i := range e.Incidents {
			d.line(plain, "  · %s  %-16s %s  %s", stamp(i.At), i.Kind, by(i.By), i.Reason)
		}
		return
	}
	if e.State == family.StateLive {
		d.line(fine, "  ◇ live")
		return
	}
	s := plain
	if e.Copy != nil {
		s = alarm
	}
	d.line(s, "  ■ %s  %s", stamp(e.EndedAt), ending(f, e.State))
	if e.State != family.StateRevoked {
		return
	}
	for _, i := range slices.Backward(e.Incidents) {
		if i.Kind == string(audit.FamilyRevoked) && i.RequestID != "" {
			d.line(faint, "    request %s  %s", i.RequestID, by(i.By))
			return
		}
	}
}
