package family_test

import (
	"testing"
	"time"

	"kindred/internal/family"
)

func TestReplays_TheFirstInAMinuteIsRecordedAndTellsOfThoseBefore(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var r family.Replays
	told := int64(0)
	for _, step := range []struct {
		after  time.Duration
		record bool
		tells  int64
	}{
		{0, true, 1}, {0, false, 0}, {time.Minute - time.Microsecond, false, 0}, {time.Minute, true, 3},
		{90 * time.Second, false, 0}, {2 * time.Minute, true, 2}, {time.Hour, true, 1},
	} {
		after, record, tells := r.Another(start.Add(step.after))
		if record != step.record || tells != step.tells || after.Count != r.Count+1 {
			t.Errorf("after %v: record %v of %d, count %d after %d; want %v of %d", step.after, record, tells, after.Count, r.Count, step.record, step.tells)
		}
		r, told = after, told+tells
	}
	if told != r.Count || r.Recorded != r.Count {
		t.Errorf("the records tell of %d replays, the family of %d, of which %d are recorded", told, r.Count, r.Recorded)
	}
}
