package account

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nbutton23/zxcvbn-go"
	"github.com/nbutton23/zxcvbn-go/matching"
	"golang.org/x/text/unicode/norm"
)

// Lengths of passwords in code points, by NIST SP 800-63B-4 §3.1.1.2: the shortest where a password is
// all that is asked for, and the shortest that anybody may set.
const (
	DefaultMinPasswordLength = 15
	LeastMinPasswordLength   = 8
)

// PasswordPolicy says which passwords may be chosen. Its zero value is the strictest but for the
// blocklist. There are no rules of composition and no expiry (OWASP ASVS 5.0 §6.2.5, §6.2.10).
type PasswordPolicy struct {
	MinLength int        // in code points; 0 is DefaultMinPasswordLength
	Blocklist *Blocklist // nil: none

	any bool
}

// AnyPassword is the policy that lets all pass that are not shorter than anybody's may be: for the users of
// `kindred dev`, whose passwords are no secrets, and for tests.
func AnyPassword() PasswordPolicy { return PasswordPolicy{any: true} }

// Check tells whether a user of that name may choose the password. The error is an *InvalidError whose
// reason says what is wrong and what would do.
func (p PasswordPolicy) Check(password Password, name Username) error {
	text := password.Reveal()
	least := p.MinLength
	switch {
	case p.any:
		least = LeastMinPasswordLength
	case least == 0:
		least = DefaultMinPasswordLength
	}
	switch {
	case utf8.RuneCountInString(text) < least:
		return refusePassword(fmt.Sprintf("It must have at least %d characters; a few words that do not belong together are long and easy to keep.", least))
	case p.any:
		return nil
	case containsName(text, name):
		return refusePassword("It contains the username, which is the first thing that is tried; leave that out.")
	case p.Blocklist.holds(text):
		return refusePassword("It is on the list of passwords that are not accepted here, since they are known or easily guessed; choose another.")
	case weak(text, name):
		return refusePassword("It is too easy to guess: names, common words, dates, keyboard rows and repeated pieces are tried first; add a few words that do not belong together.")
	}
	return nil
}

// RefuseBreached is the answer to a password that was found among those of a breach.
func RefuseBreached() error {
	return refusePassword("It has appeared in a data breach, so that it is tried sooner or later; choose one that you use nowhere else.")
}

func refusePassword(reason string) error { return &InvalidError{Field: "password", Reason: reason} }

// containsName finds the name in whatever case. Shorter names are in too many words.
func containsName(text string, name Username) bool {
	const least = 3
	return utf8.RuneCountInString(name.Key()) >= least && strings.Contains(folded(text), name.Key())
}

// folded is the form in which texts are compared, the same that a Username's key has.
func folded(text string) string { return keyOf(norm.NFC.String(text)) }

// weak asks zxcvbn, which knows common words, names, dates and keyboards. What it does not see by itself
// is taken away first: letters that are written as digits, and a piece that only repeats.
func weak(text string, name Username) bool {
	const maxRunes, leastScore = 128, 3
	if runes := []rune(text); len(runes) > maxRunes {
		text = string(runes[:maxRunes])
	}
	text = once(text)
	// Its own matcher of digits for letters takes seconds for a hostile text of that length, and panics
	// where the letters are not ASCII.
	plain := strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "l", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t").Replace(text)
	for _, candidate := range []string{text, plain} {
		if zxcvbn.PasswordStrength(candidate, []string{name.String()}, matching.FilterL33tMatcher).Score < leastScore {
			return true
		}
	}
	return false
}

// once shortens a text that is one piece over and over to that piece: the second makes nobody guess longer.
func once(text string) string {
	// Such a text is found again within itself, one piece on.
	period := strings.Index((text + text)[1:], text) + 1
	return text[:period]
}
