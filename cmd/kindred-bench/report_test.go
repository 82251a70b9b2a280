package main

import (
	"testing"
	"time"
)

func TestSpreadOf_TakesTheMiddle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{4}, spread{Min: 4, Median: 4, Max: 4}},
		{[]float64{9, 1, 4}, spread{Min: 1, Median: 4, Max: 9}},
		{[]float64{9, 1, 4, 2}, spread{Min: 1, Median: 3, Max: 9}},
	} {
		if got := spreadOf("", test.values); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.values, got, test.want)
		}
	}
}

func TestPercentile_IsTheNearestRank(t *testing.T) {
	t.Parallel()
	durations := func(n int) (list []time.Duration) {
		for i := range n {
			list = append(list, time.Duration(i+1))
		}
		return list
	}
	for _, test := range []struct {
		of, p int
		want  time.Duration
	}{{1, 50, 1}, {1, 99, 1}, {10, 50, 5}, {10, 99, 10}, {100, 99, 99}, {200, 99, 198}, {201, 99, 199}} {
		if got := percentile(durations(test.of), test.p); got != test.want {
			t.Errorf("p%d of 1 to %d: %d, want %d", test.p, test.of, got, test.want)
		}
	}
}

// The ratio of two medians would be one of different rounds.
func TestReport_RatiosAreOfOneRound(t *testing.T) {
	t.Parallel()
	r := newReport(nil)
	for _, round := range [][2]float64{{10, 10}, {90, 30}, {20, 80}} {
		r.add("product", "1/s", round[0])
		r.add("bare", "1/s", round[1])
		r.ratio(ratio{"ratio", "product", "bare"})
	}
	if got, want := spreadOf("", r.values["ratio"]), (spread{Min: 0.25, Median: 1, Max: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A worker that waits long for its last answer must not count as idle for the time before.
func TestRate_IsByTheTimeOfTheOperations(t *testing.T) {
	t.Parallel()
	if got := rate([]time.Duration{time.Second, 3 * time.Second}); got != 0.5 {
		t.Errorf("%g operations a second, want 0.5", got)
	}
}

func TestGoal_TellsByHowMuchItIsMissed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		goal  goal
		value float64
		want  string
	}{
		{goal{AtLeast: 1.5}, 1.5, "≥ 1.5 met"},
		{goal{AtLeast: 1.5}, 1.2, "≥ 1.5 missed by 20 %"},
		{goal{AtMost: 40}, 40, "≤ 40 met"},
		{goal{AtMost: 40}, 41, "≤ 40 missed by 2.5 %"},
	} {
		if got := test.goal.judge(test.value).words(test.value); got != test.want {
			t.Errorf("%+v for %g: %q, want %q", test.goal, test.value, got, test.want)
		}
	}
}

// One good round does not make up for the others.
func TestReport_TheMedianIsJudged(t *testing.T) {
	t.Parallel()
	r := newReport(map[string]goal{"rate": {AtLeast: 10}, "memory": {AtMost: 10}})
	for _, v := range []float64{9, 11, 8} {
		r.add("rate", "1/s", v)
		r.add("memory", "MB", v)
	}
	if r.spread("rate").Goal.Met || !r.spread("memory").Goal.Met {
		t.Errorf("rate %+v, memory %+v", r.spread("rate").Goal, r.spread("memory").Goal)
	}
}
