package testdb

import (
	"testing"

	"pgregory.net/rapid"
)

// CheckT is one check of a property. As a testing.TB it reports to rapid, which shrinks what fails,
// and cleans up when the check ends: a database made with it is that check's own.
type CheckT struct {
	*rapid.T
	rest
}

// rest is what a testing.TB has and rapid.T lacks, two steps down so that what both have is rapid's.
type rest struct{ test }
type test struct{ testing.TB }

// Check is rapid.Check for properties that need a database.
func Check(t *testing.T, property func(CheckT)) {
	t.Helper()
	rapid.Check(t, func(check *rapid.T) { property(CheckT{check, rest{test{t}}}) })
}
