package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever the bytes are: a value without NUL in valid UTF-8, or a 400 that repeats nothing of them.
func FuzzJSONBody(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"username":"a","password":"b"}`, `{"username":"a","username":"b"}`, `{"username":"\u0000"}`,
		`{"username":"\\u0000"}`, `{"username":"\ud800"}`, "{\"username\":\"\xff\"}", `{"username":1}`, `{"username":"a"} x`,
		strings.Repeat(`{"a":`, 5000), strings.Repeat(`[`, 20000), ` {"username":"é"}`, "\ufeff{}", `{"Username":"a"}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, strict bool) {
		var into struct {
			Username *string `json:"username"`
			Password *string `json:"password"`
		}
		if err := parseJSON(body, &into, unknownMembers(strict)); err != nil {
			if problem := problemOf(err); problem.Status != http.StatusBadRequest || problem.Code != "malformed_request" {
				t.Errorf("refused with %d %s: %v", problem.Status, problem.Code, err)
			}
			return
		}
		if !utf8.Valid(body) {
			t.Error("accepted bytes that are not UTF-8")
		}
		for _, value := range []*string{into.Username, into.Password} {
			if value != nil && (!utf8.ValidString(*value) || strings.ContainsRune(*value, 0)) {
				t.Errorf("accepted %q", *value)
			}
		}
	})
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"", "grant_type=refresh_token&refresh_token=x", "a=1&a=2", "a=%00", "a=%ff", "%zz", "a=;b", "a==", "&&&", "a=&a=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := parseForm(body)
		if err != nil {
			return
		}
		for name, values := range form {
			if len(values) != 1 || values[0] == "" || !utf8.ValidString(name+values[0]) || strings.ContainsRune(name+values[0], 0) {
				t.Errorf("accepted %q=%q", name, values)
			}
		}
	})
}

func FuzzBearerHeader(f *testing.F) {
	for _, seed := range []string{"", "Bearer x", "bearer x", "Bearer", "Bearer ", "Basic eDp5", "Bearer  x ", "Bearerx", "\x00", "Bearer a b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{header}
		token, err := bearer(r)
		if err != nil {
			t.Errorf("one header is refused: %v", err)
		}
		if token != "" && (!strings.EqualFold(header[:7], "Bearer ") || !strings.Contains(header, token)) {
			t.Errorf("%q gives %q", header, token)
		}
		r.Header["Authorization"] = []string{header, header}
		if _, err := bearer(r); err == nil {
			t.Error("two headers are accepted")
		}
	})
}
