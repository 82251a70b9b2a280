package account

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// InvalidError says which part of the input is refused and why, in words for the user. It never
// holds the value.
type InvalidError struct {
	Field  string // the JSON member: username, password, role
	Reason string // a sentence
}

func (e *InvalidError) Error() string { return "invalid " + e.Field + ": " + e.Reason }

// Username is an accepted name.
type Username struct{ shown, key string }

// String is the name as it was written, in NFC.
func (u Username) String() string { return u.shown }

// Key is what is unique among the living: NFC and case folded, so that Ana and ANA, composed and
// decomposed, are one user.
func (u Username) Key() string { return u.key }

// NewUsername accepts a name that is to be given out: what ParseUsername accepts, without a mixture of scripts,
// by which a name can be made to look like somebody else's. The error is an *InvalidError.
func NewUsername(s string) (Username, error) {
	name, err := ParseUsername(s)
	if err != nil {
		return Username{}, err
	}
	// By the key, so that all spellings of a name are judged alike.
	if reason := mixture(name.key); reason != "" {
		return Username{}, &InvalidError{Field: "username", Reason: reason}
	}
	return name, nil
}

// ParseUsername accepts 1 to 64 code points of visible text without spaces at either end: what a user may be
// called who is looked for. The error is an *InvalidError.
func ParseUsername(s string) (Username, error) {
	const maxCodePoints, maxBytes = 64, 256
	refuse := func(reason string) (Username, error) {
		return Username{}, &InvalidError{Field: "username", Reason: reason}
	}
	if !utf8.ValidString(s) {
		return refuse("It must be valid UTF-8.")
	}
	if len(s) > maxBytes {
		return refuse(fmt.Sprintf("It must have %d characters at most.", maxCodePoints))
	}
	shown := norm.NFC.String(s)
	switch count := utf8.RuneCountInString(shown); {
	case count == 0:
		return refuse("It must not be empty.")
	case count > maxCodePoints:
		return refuse(fmt.Sprintf("It must have %d characters at most.", maxCodePoints))
	}
	if !visible(shown) {
		return refuse("It must not contain control or invisible characters.")
	}
	if strings.TrimSpace(shown) != shown {
		return refuse("It must not begin or end with a space.")
	}
	return Username{shown: shown, key: keyOf(shown)}, nil
}

func keyOf(shown string) string {
	// Lower case first: by itself the folding turns each of the two Cherokee cases into the other. It can
	// undo NFC, so that is made once more.
	return norm.NFC.String(cases.Fold().String(strings.ToLower(shown)))
}

// invisible tells of controls and of what leaves no mark, or one that looks like a space: two names that differ in it
// only look the same. U+2800 is the Braille pattern without a dot.
func invisible(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800'
}

// visible tells whether all of a text can be seen, so that no two of them look alike for what cannot.
func visible(s string) bool {
	return !strings.ContainsFunc(s, invisible)
}

// ParseRole accepts 1 to 32 of a-z, 0-9, hyphen and underscore. The error is an *InvalidError.
func ParseRole(s string) (string, error) {
	const maxBytes = 32
	if s == "" || len(s) > maxBytes || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return "", &InvalidError{Field: "role", Reason: fmt.Sprintf("It must have 1 to %d of a-z, 0-9, hyphen and underscore.", maxBytes)}
	}
	return s, nil
}
