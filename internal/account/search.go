package account

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// UsernamePrefix folds the beginning of a name as ParseUsername folds a name, so that it is also the beginning
// of the keys of the names meant. It may be empty, which all begin with, and end with a space. The error is an
// *InvalidError.
func UsernamePrefix(s string) (string, error) {
	const maxCodePoints, maxBytes = 64, 256
	if !utf8.ValidString(s) || !visible(norm.NFC.String(s)) {
		return "", &InvalidError{Field: "search", Reason: "It must be valid UTF-8 without control or invisible characters."}
	}
	prefix := norm.NFC.String(strings.TrimLeft(s, " "))
	if len(s) > maxBytes || utf8.RuneCountInString(prefix) > maxCodePoints {
		return "", &InvalidError{Field: "search", Reason: fmt.Sprintf("It must have %d characters at most.", maxCodePoints)}
	}
	return keyOf(prefix), nil
}
