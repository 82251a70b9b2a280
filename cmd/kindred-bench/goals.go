package main

import "fmt"

// goal is what the median of a figure or of a ratio should be: one of the two bounds is set. It is told
// and written down, and never a reason to fail: the figures are those of a machine.
type goal struct {
	AtLeast float64 `json:"atLeast,omitempty"`
	AtMost  float64 `json:"atMost,omitempty"`
	Met     bool    `json:"met"`
}

// goals are by the name of the figure or ratio.
func goals() map[string]goal {
	return map[string]goal{
		"refresh_http_over_bare_64":     {AtLeast: 1.5},
		"refresh_http_over_bare_64_p99": {AtMost: 1},
		"refresh_http_over_bare_1_p50":  {AtMost: 1.5},
		"protected_over_bare_http_64":   {AtLeast: 0.7},
		"verify_over_bare_http_64":      {AtLeast: 0.7},
		"login_over_bare_argon2id":      {AtLeast: 0.9},
		"beside_logins_over_quiet_p99":  {AtMost: 3},
		"memory_idle":                   {AtMost: 40},
		"refresh_http_64_memory":        {AtMost: 100},
		"protected_http_64_memory":      {AtMost: 100},
		"verify_http_64_memory":         {AtMost: 100},
		"start_to_ready":                {AtMost: 300},
		"binary":                        {AtMost: 25},
	}
}

// judge says how a value stands to the goal.
func (g goal) judge(v float64) goal {
	g.Met = v >= g.AtLeast && (g.AtMost == 0 || v <= g.AtMost)
	return g
}

// words for a value that was judged.
func (g goal) words(v float64) string {
	text, bound := fmt.Sprintf("≥ %g", g.AtLeast), g.AtLeast
	if g.AtMost > 0 {
		text, bound = fmt.Sprintf("≤ %g", g.AtMost), g.AtMost
	}
	if g.Met {
		return text + " met"
	}
	missed := (v - bound) / bound
	if g.AtMost == 0 {
		missed = -missed
	}
	return fmt.Sprintf("%s missed by %s %%", text, number(100*missed))
}
