package family

import "time"

// Replays counts how often a parent was presented inside the reuse interval, and how much of that the audit
// trail tells of.
type Replays struct {
	Count      int64
	Recorded   int64      // of Count, by the latest record
	RecordedAt *time.Time // of that record; nil while there is none
}

// Another returns the count with one more replay at now. record tells whether the audit trail gets a row of
// it, which tells of that many replays: the first in a minute does, so that nobody fills a table by repeating
// a request.
func (r Replays) Another(now time.Time) (after Replays, record bool, tells int64) {
	r.Count++
	if r.RecordedAt != nil && now.Before(r.RecordedAt.Add(time.Minute)) {
		return r, false, 0
	}
	tells = r.Count - r.Recorded
	r.Recorded, r.RecordedAt = r.Count, &now
	return r, true, tells
}
