package account

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// mixture says in a sentence what makes a name look like another one: letters of several scripts, or digits of
// several systems. It is empty for a name of one script, or of those that are written together in Chinese,
// Japanese and Korean, with Latin beside them ("highly restrictive" in Unicode UTS #39 §5.2). Marks and signs
// that all scripts share count for none.
func mixture(name string) string {
	scripts, zeros := map[string]bool{}, map[rune]bool{}
	for _, r := range name {
		if script := scriptOf(r); script != "" {
			scripts[script] = true
		}
		if zero, is := zeroOf(r); is {
			zeros[zero] = true
		}
	}
	if len(scripts) > 1 && !writtenTogether(scripts) {
		names := slices.Sorted(maps.Keys(scripts))
		last := len(names) - 1
		return "It must not mix letters of " + strings.Join(names[:last], ", ") + " and " + names[last] + ", which can look alike."
	}
	if len(zeros) > 1 {
		return "It must not mix digits of several writing systems, which can look alike."
	}
	return ""
}

func writtenTogether(scripts map[string]bool) bool {
	for _, together := range [][]string{
		{"Latin", "Han", "Hiragana", "Katakana"},
		{"Latin", "Han", "Bopomofo"},
		{"Latin", "Han", "Hangul"},
	} {
		rest := maps.Clone(scripts)
		for _, script := range together {
			delete(rest, script)
		}
		if len(rest) == 0 {
			return true
		}
	}
	return false
}

// scriptOf is empty for what several scripts share.
func scriptOf(r rune) string {
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			if name == "Common" || name == "Inherited" {
				return ""
			}
			return strings.ReplaceAll(name, "_", " ")
		}
	}
	return ""
}

// zeroOf finds the zero of a decimal digit's system. Unicode assigns each system ten characters in a row, so
// that every range of digits begins with a zero and holds whole systems.
func zeroOf(r rune) (zero rune, isDigit bool) {
	for _, digits := range unicode.Nd.R16 {
		if lo, hi := rune(digits.Lo), rune(digits.Hi); lo <= r && r <= hi {
			return r - (r-lo)%10, true
		}
	}
	for _, digits := range unicode.Nd.R32 {
		if lo, hi := rune(digits.Lo), rune(digits.Hi); lo <= r && r <= hi {
			return r - (r-lo)%10, true
		}
	}
	return 0, false
}
