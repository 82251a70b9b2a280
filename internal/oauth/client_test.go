package oauth_test

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"kindred/internal/oauth"
)

func header(text string) []string {
	return []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(text))}
}

func TestParseClient(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		authorization   []string
		bodyID, bodySec string
		wantID, wantSec string
		wantCode        oauth.Code
	}{
		"nothing":                        {},
		"body, public":                   {nil, "phone", "", "phone", "", ""},
		"body, confidential":             {nil, "shop", "s", "shop", "s", ""},
		"body, secret alone":             {nil, "", "s", "", "s", ""},
		"Basic":                          {header("shop:s"), "", "", "shop", "s", ""},
		"Basic, named in the body too":   {header("shop:s"), "shop", "", "shop", "s", ""},
		"Basic, empty secret":            {header("phone:"), "", "", "phone", "", ""},
		"Basic, form-encoded twice":      {header("a%3Ab:%2B%25+%C3%A9"), "", "", "a:b", "+% é", ""},
		"Basic, a colon in the secret":   {header("shop:a:b"), "", "", "shop", "a:b", ""},
		"Basic, scheme in another case":  {[]string{"bAsIc  " + header("shop:s")[0][6:]}, "", "", "shop", "s", ""},
		"another scheme is none":         {[]string{"Bearer x"}, "phone", "", "phone", "", ""},
		"two headers":                    {[]string{"Basic a", "Basic a"}, "", "", "", "", oauth.InvalidRequest},
		"two headers of two schemes":     {[]string{"Bearer a", header("shop:s")[0]}, "", "", "", "", oauth.InvalidRequest},
		"Basic and a secret in the body": {header("shop:s"), "shop", "s", "", "", oauth.InvalidRequest},
		"Basic and another client":       {header("shop:s"), "other", "", "", "", oauth.InvalidRequest},
		"Basic without a colon":          {header("shop"), "", "", "", "", oauth.InvalidClient},
		"Basic without an id":            {header(":s"), "", "", "", "", oauth.InvalidClient},
		"Basic, bad escape":              {header("shop:%zz"), "", "", "", "", oauth.InvalidClient},
		"Basic, bad escape in the id":    {header("%zz:s"), "", "", "", "", oauth.InvalidClient},
		"Basic, NUL":                     {header("shop:%00"), "", "", "", "", oauth.InvalidClient},
		"Basic, bad UTF-8":               {header("shop:%ff"), "", "", "", "", oauth.InvalidClient},
		"Basic, not base64":              {[]string{"Basic %%%"}, "", "", "", "", oauth.InvalidClient},
		"Basic, base64 without padding":  {[]string{"Basic c2hvcDpz" + "eA"}, "", "", "", "", oauth.InvalidClient},
		"Basic alone":                    {[]string{"Basic"}, "", "", "", "", oauth.InvalidClient},
	}
	for name, c := range cases {
		id, secret, err := oauth.ParseClient(c.authorization, c.bodyID, c.bodySec)
		var refusal *oauth.Error
		code := oauth.Code("")
		if errors.As(err, &refusal) {
			code = refusal.Code
		}
		if id != c.wantID || secret != c.wantSec || code != c.wantCode || (err == nil) != (c.wantCode == "") {
			t.Errorf("%s: %q %q, error %v", name, id, secret, err)
		}
	}
}

// Whatever a header holds: one client in text that can be stored, or a refusal in the RFC's words that
// repeats nothing of it.
func FuzzParseClient(f *testing.F) {
	for _, seed := range []string{"", "Basic", "Basic c2hvcDpz", "basic  c2hvcDpz", "Basic OnM=", "Basic c2hvcDo=", "Bearer x", "Basic c2hvcDolMDA=", "Basic \xff", "Basic c2hvcDpz\n"} {
		f.Add(seed, "", "")
		f.Add(seed, "shop", "")
		f.Add(seed, "shop", "s")
	}
	f.Fuzz(func(t *testing.T, authorization, bodyID, bodySecret string) {
		id, secret, err := oauth.ParseClient([]string{authorization}, bodyID, bodySecret)
		if err != nil {
			var refusal *oauth.Error
			if !errors.As(err, &refusal) || refusal.Code != oauth.InvalidClient && refusal.Code != oauth.InvalidRequest || id+secret != "" {
				t.Errorf("%q %q with error %v", id, secret, err)
			}
			return
		}
		if id == bodyID && secret == bodySecret {
			return
		}
		if bodySecret != "" || bodyID != "" && bodyID != id || id == "" || !utf8.ValidString(id+secret) || strings.ContainsRune(id+secret, 0) {
			t.Errorf("%q with %q %q gives %q %q", authorization, bodyID, bodySecret, id, secret)
		}
		again, secretAgain, err := oauth.ParseClient(header(url.QueryEscape(id)+":"+url.QueryEscape(secret)), "", "")
		if err != nil || again != id || secretAgain != secret {
			t.Errorf("%q %q comes back as %q %q, error %v", id, secret, again, secretAgain, err)
		}
	})
}
