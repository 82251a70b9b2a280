package main

import "testing"

func TestIsStatement_CountsWhatRunsOne(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]bool{
		"Q\x00\x00\x00\x0abegin\x00":   true,
		"E\x00\x00\x00\x09\x00\x00":    true,
		"Q\x00\x00\x00\x0c-- ping\x00": false, // of the pool, not of a request
		"P\x00\x00\x00\x08\x00\x00":    false,
		"S\x00\x00\x00\x04":            false,
	} {
		if got := isStatement([]byte(message)); got != want {
			t.Errorf("%q: %t, want %t", message, got, want)
		}
	}
}
