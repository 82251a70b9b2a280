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
}

func newReport() *report {
	return &report{units: map[string]string{}, values: map[string][]float64{}}
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
	if !l.overTCP {
		return
	}
	r.add(l.name+"_p50", "ms", milliseconds(percentile(s.latencies, 50)))
	r.add(l.name+"_p99", "ms", milliseconds(percentile(s.latencies, 99)))
	r.add(l.name+"_client", "cores", s.cores)
}

// ratio is of the round's own figures, which stand last.
func (r *report) ratio(p pair) {
	product, bare := r.values[p.product.name], r.values[p.bare.name]
	if !slices.Contains(r.ratios, p.ratio) {
		r.ratios = append(r.ratios, p.ratio)
	}
	r.values[p.ratio] = append(r.values[p.ratio], product[len(product)-1]/bare[len(bare)-1])
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
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-28s %9s %9s %9s  %s", cells...), " "))
	}
	line("figure", "min", "median", "max", "unit")
	for _, name := range slices.Concat(r.figures, r.ratios) {
		s := spreadOf(r.units[name], r.values[name])
		line(name, number(s.Min), number(s.Median), number(s.Max), s.Unit)
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
		content.Figures[name] = spreadOf(r.units[name], r.values[name])
	}
	for _, name := range r.ratios {
		content.Ratios[name] = spreadOf("", r.values[name])
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
