package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// report holds a value of each figure and each ratio for each round, in the order of the first round.
type report struct {
	figures, ratios []string
	units           map[string]string // of the figures
	values          map[string][]float64
	goals           map[string]goal
}

func newReport(goals map[string]goal) *report {
	return &report{units: map[string]string{}, values: map[string][]float64{}, goals: goals}
}

func (r *report) add(figure, unit string, value float64) {
	if !slices.Contains(r.figures, figure) {
		r.figures = append(r.figures, figure)
	}
	r.units[figure] = unit
	r.values[figure] = append(r.values[figure], value)
}

func (r *report) sample(l load, s sample) {
	r.add(l.name, "1/s", s.rate)
	r.add(l.name+"_p50", "ms", milliseconds(percentile(s.latencies, 50)))
	r.add(l.name+"_p99", "ms", milliseconds(percentile(s.latencies, 99)))
	if l.server != nil {
		r.add(l.name+"_client", "cores", s.cores)
	}
	if s.memory > 0 {
		r.add(l.name+"_memory", "MB", s.memory)
	}
	if l.beside != nil {
		r.add(l.beside.name, "1/s", s.beside)
	}
}

// ratio is of the round's own figures, which stand last.
func (r *report) ratio(of ratio) {
	figure, over := r.values[of.figure], r.values[of.over]
	if !slices.Contains(r.ratios, of.name) {
		r.ratios = append(r.ratios, of.name)
	}
	r.values[of.name] = append(r.values[of.name], figure[len(figure)-1]/over[len(over)-1])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// percentile of sorted durations, by the nearest rank.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}

// spread is what the rounds gave.
type spread struct {
	Unit   string  `json:"unit,omitempty"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Goal   *goal   `json:"goal,omitempty"` // for the median
}

// spread of a figure or ratio, with its goal where it has one.
func (r *report) spread(name string) spread {
	s := spreadOf(r.units[name], r.values[name])
	if g, found := r.goals[name]; found {
		g = g.judge(s.Median)
		s.Goal = &g
	}
	return s
}

func spreadOf(unit string, values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{Unit: unit, Min: sorted[0], Median: median, Max: sorted[len(sorted)-1]}
}

func (r *report) print(w io.Writer) {
	line := func(cells ...any) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-36s %9s %9s %9s  %-9s  %s", cells...), " "))
	}
	line("figure", "min", "median", "max", "unit", "goal for the median")
	for _, name := range slices.Concat(r.figures, r.ratios) {
		s, words := r.spread(name), ""
		if s.Goal != nil {
			words = s.Goal.words(s.Median)
		}
		line(name, number(s.Min), number(s.Median), number(s.Max), s.Unit, words)
	}
}

// number has three digits that mean something, or all of those before the point.
func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func (r *report) write(path string) error {
	content := struct {
		Figures map[string]spread `json:"figures"`
		Ratios  map[string]spread `json:"ratios"`
	}{map[string]spread{}, map[string]spread{}}
	for _, name := range r.figures {
		content.Figures[name] = r.spread(name)
	}
	for _, name := range r.ratios {
		content.Ratios[name] = r.spread(name)
	}
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
