package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kindred/internal/account"
)

func check(t testing.TB, policy account.PasswordPolicy, typed, username string) error {
	t.Helper()
	password, err := account.ParsePassword(typed)
	if err != nil {
		t.Fatal(err)
	}
	name, err := account.ParseUsername(username)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Check(password, name)
}

// wantRefusal checks that the reason names the rule, and not the password.
func wantRefusal(t testing.TB, err error, typed, reason string) {
	t.Helper()
	var invalid *account.InvalidError
	if !errors.As(err, &invalid) || invalid.Field != "password" || !strings.Contains(invalid.Reason, reason) {
		t.Errorf("%q: error %v, want %q", typed, err, reason)
	} else if strings.Contains(invalid.Reason, typed) {
		t.Errorf("the reason quotes the password: %s", invalid.Reason)
	}
}

func TestPasswordPolicy_ZeroValueIsStrict(t *testing.T) {
	t.Parallel()
	for typed, reason := range map[string]string{
		"quiet lantern9": "at least 15 characters", strings.Repeat("é", 14): "at least 15 characters",
		"my name is Zoë1, hello lamp": "contains the username", "ZOE\u03081 nine rivers lantern": "contains the username",
		"password123456789": "too easy to guess", "p4$$w0rdp4$$w0rd": "too easy to guess", "qwertyuiopasdfghjkl": "too easy to guess", "aaaaaaaaaaaaaaaaaaaa": "too easy to guess",
		strings.Repeat("1", 1000): "too easy to guess", strings.Repeat("12", 64): "too easy to guess", strings.Repeat("密码", 20): "too easy to guess", "letmeinletmeinletmein": "too easy to guess",
		strings.Repeat("abcdefghijklmnopqrstuvwxyz", 30): "too easy to guess",
	} {
		wantRefusal(t, check(t, account.PasswordPolicy{}, typed, "zoë1"), typed, reason)
	}
	for _, typed := range []string{
		"quiet lantern nine rivers", "correct horse battery staple", strings.Repeat("é", 3) + " 密码 quiet lantern", "🦊 fuchs 🦊 gans 🦊 du", "Tr0ub4dor&3 Tr0ub4dor&9 xkcd",
		"no digits no capitals only words", strings.Repeat("quiet lantern nine rivers ", 39), // 1,014 bytes
	} {
		if err := check(t, account.PasswordPolicy{}, typed, "zoë1"); err != nil {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestPasswordPolicy_LengthCountsCodePointsInNFC(t *testing.T) {
	t.Parallel()
	decomposed := "qwxz" + strings.Repeat("e\u0301", 4) // 12 code points as typed, 8 in NFC
	if err := check(t, account.PasswordPolicy{MinLength: 8}, decomposed, "zoe"); err != nil {
		t.Error(err)
	}
	wantRefusal(t, check(t, account.PasswordPolicy{MinLength: 9}, decomposed, "zoe"), decomposed, "at least 9 characters")
}

// A name of two letters is in half of all words.
func TestPasswordPolicy_ShortNamesMayBeContained(t *testing.T) {
	t.Parallel()
	const typed = "quiet lantern nine rivers"
	if err := check(t, account.PasswordPolicy{}, typed, "ri"); err != nil {
		t.Error(err)
	}
	wantRefusal(t, check(t, account.PasswordPolicy{}, typed, "ver"), typed, "contains the username")
}

// What zxcvbn would take for rare is the user's own name, and so known.
func TestPasswordPolicy_NameWithLettersAsDigitsIsNoSecret(t *testing.T) {
	t.Parallel()
	const typed = "xqj2vwzkp5g4b3n"
	if err := check(t, account.PasswordPolicy{}, typed, "somebody"); err != nil {
		t.Error(err)
	}
	wantRefusal(t, check(t, account.PasswordPolicy{}, typed, "xqj2vwzkpsgaben"), typed, "too easy to guess")
}

func TestPasswordPolicy_BlocklistInWhateverCase(t *testing.T) {
	t.Parallel()
	list, err := account.ReadBlocklist(strings.NewReader("Quiet Lantern Nine Rivers\r\n\ncafe\u0301 au lait, s'il vous plai\u0302t"))
	if err != nil || list.Len() != 2 {
		t.Fatalf("%d passwords, error %v", list.Len(), err)
	}
	policy := account.PasswordPolicy{Blocklist: list}
	for _, typed := range []string{"quiet lantern nine rivers", "QUIET LANTERN NINE RIVERS", "CAFÉ au lait, s'il vous plaît"} {
		wantRefusal(t, check(t, policy, typed, "zoe"), typed, "is on the list")
	}
	if err := check(t, policy, "quiet lantern nine rivers!", "zoe"); err != nil {
		t.Error(err)
	}
}

func TestReadBlocklist_NamesTheLineThatItCannotRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"one\ntwo\nthr\xffee\n": "line 3", "one\n\x00\n": "line 2", "one\ntwo\n" + strings.Repeat("x", 2000): "line 3",
		strings.Repeat(strings.Repeat("x", 1000)+"\n", 67200): "larger than 64 MiB",
	} {
		if _, err := account.ReadBlocklist(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q…: error %v, want %q", text, err, want)
		}
	}
	if list, err := account.ReadBlocklist(strings.NewReader(strings.Repeat("x", 1024) + "\nX\nx")); err != nil || list.Len() != 2 {
		t.Errorf("%d passwords, error %v", list.Len(), err)
	}
}

func TestAnyPassword_LetsAllPassOfTheLeastLength(t *testing.T) {
	t.Parallel()
	if err := check(t, account.AnyPassword(), "zoezoezo", "zoe"); err != nil {
		t.Error(err)
	}
	if err := check(t, account.AnyPassword(), "zoezoez", "zoe"); err == nil {
		t.Error("seven characters passed")
	}
}

// zxcvbn was not made for hostile input. This one is bounded in what it is fed; what is found here is a
// panic, or a text that takes seconds.
func FuzzPasswordPolicy(f *testing.F) {
	for _, seed := range []string{
		"quiet lantern nine rivers", strings.Repeat("@4({8<63$5|1!70+xz2", 7), strings.Repeat("1/1/1991", 16), strings.Repeat("\u212aİȺ", 43), "ﬁ\u0345", strings.Repeat("4@$5s10o|!+7", 11),
	} {
		f.Add(seed, "zoë")
	}
	f.Fuzz(func(t *testing.T, typed, username string) {
		password, err := account.ParsePassword(typed)
		name, nameErr := account.ParseUsername(username)
		if err != nil || nameErr != nil {
			return
		}
		if err := (account.PasswordPolicy{MinLength: 1}).Check(password, name); err != nil {
			var invalid *account.InvalidError
			if !errors.As(err, &invalid) || fmt.Sprint(password) != "[redacted]" {
				t.Errorf("error %v", err)
			}
		}
	})
}

// A hostile text costs what any other of its length costs: without the bounds the first took seconds.
func BenchmarkPasswordPolicy_HostileText(b *testing.B) {
	for name, typed := range map[string]string{
		"digits for letters": strings.Repeat("@4({8<63$5|1!70+xz2", 54)[:1024], "dates": strings.Repeat("1/1/1991", 128)[:1023] + "x", "keyboard": strings.Repeat("qwertyuiop", 103)[:1023] + "x",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = check(b, account.PasswordPolicy{}, typed, "zoe")
			}
		})
	}
}
