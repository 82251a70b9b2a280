package auth

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

var errCursor = &QueryError{"cursor", "is not one that a page before has given"}

// QueryError says which part of a question for a list is wrong, and in which way. It never holds the value.
type QueryError struct{ Parameter, Reason string }

func (e *QueryError) Error() string { return e.Parameter + " " + e.Reason }

// MaxPage is how many rows one page of a list has at most.
const MaxPage = 500

// Page is which part of a list is asked for.
type Page struct {
	Limit  int    // rows, 1 to MaxPage
	Cursor string // the Next of the page before; empty: the first
}

func (p Page) check() error {
	if p.Limit < 1 || p.Limit > MaxPage {
		return &QueryError{"limit", fmt.Sprintf("must be a number from 1 to %d", MaxPage)}
	}
	return nil
}

// Cursors are opaque, so that nobody builds one.
func cursor(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func (p Page) after() (string, error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err != nil {
		return "", errCursor
	}
	return string(text), nil
}

// isText tells whether PostgreSQL takes a string for text: it refuses what is no UTF-8, and NUL.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// either reads a state that is one of two words; all, or none, is nil.
func either(state, yes, no string) (*bool, error) {
	is := state == yes
	switch {
	case state == "" || state == "all":
		return nil, nil
	case !is && state != no:
		return nil, &QueryError{"state", fmt.Sprintf("must be %s, %s or all", yes, no)}
	}
	return &is, nil
}
