package account_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"kindred/internal/account"
)

func TestNewUsername_OneWritingSystem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"ana", "Zoe\u0308", "o'neil-smith_2@b.example", "李小龙", "やまだ太郎", "ヤマダ・タロウ Yamada", "김철수kim", "ㄅㄆ注音", "Иван_7",
		"Ελένη", "שרה", "محمد٣", "राम१२", "ana\U0001f600", "2024", "аррӏе", // all Cyrillic: not told apart, as documented
	} {
		if _, err := account.NewUsername(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNewUsername_RefusesAMixtureAndNamesIt(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{
		"\u0430dmin":         "Cyrillic and Latin", // a Cyrillic а
		"admi\u0578":         "Armenian and Latin",
		"r\u03bfot":          "Greek and Latin", // a Greek omicron
		"\u00b5torrent":      "Greek and Latin", // the micro sign folds to a Greek letter
		"a\u0430\u03bf":      "Cyrillic, Greek and Latin",
		"\u30ed\u53e3\ud55c": "Han, Hangul and Katakana",
		"\u0431\u4e00":       "Cyrillic and Han",
		"1\u0661":            "digits of several writing systems",
		"\u0663\u06f3":       "digits of several writing systems", // two threes, Arabic and Persian
		"ana\uff11\u0031":    "digits of several writing systems",
	} {
		_, err := account.NewUsername(name)
		var invalid *account.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "username" || !strings.Contains(invalid.Reason, reason) {
			t.Errorf("%+q: error %v, want one that says %q", name, err, reason)
		}
		if _, err := account.ParseUsername(name); err != nil {
			t.Errorf("%+q: a user who has the name already cannot be found: %v", name, err)
		}
	}
}

// zeroOf rests on this.
func TestNewUsername_DigitsComeInTens(t *testing.T) {
	t.Parallel()
	digits := 0
	for r := range unicode.MaxRune {
		if !unicode.IsDigit(r) {
			continue
		}
		digits++
		zero := r - rune((digits-1)%10)
		if !unicode.IsDigit(zero) {
			t.Fatalf("%U is not the start of ten digits", zero)
		}
		_, err := account.NewUsername(string([]rune{zero, r}))
		if err != nil {
			t.Errorf("%U and %U: %v", zero, r, err)
		}
	}
	if digits%10 != 0 {
		t.Errorf("%d digits", digits)
	}
}
