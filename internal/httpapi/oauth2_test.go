package httpapi_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"kindred/internal/account"
)

// A client that we did not write refreshes through /token: as public and as confidential client, and by
// each way of authenticating that it knows. Left to itself it begins with Basic.
func TestToken_GoOAuth2RefreshesAndRotates(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	if _, err := s.services[0].CreateUser(t.Context(), operator, "user1", "password123", account.RoleUser); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"kindred": ""}
	for id, kind := range map[string]account.ClientType{"shop": account.ConfidentialClient, "phone": account.PublicClient} {
		secret, err := s.services[0].AddClient(t.Context(), operator, account.Client{ID: id, Name: id, Type: kind})
		if err != nil {
			t.Fatal(err)
		}
		secrets[id] = secret.Reveal()
	}
	for id, secret := range secrets {
		for name, style := range map[string]oauth2.AuthStyle{
			"by Basic": oauth2.AuthStyleInHeader, "by body": oauth2.AuthStyleInParams, "as it finds out": oauth2.AuthStyleAutoDetect,
		} {
			t.Run(id+" "+name, func(t *testing.T) {
				t.Parallel()
				client := oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: oauth2.Endpoint{TokenURL: s.servers[0].URL + "/token", AuthStyle: style}}
				refresh := s.logInBy(t, id, secret)
				for range 3 {
					// A token without an access token is expired, so that the source refreshes at once.
					token, err := client.TokenSource(t.Context(), &oauth2.Token{RefreshToken: refresh}).Token()
					if err != nil {
						t.Fatal(err)
					}
					if token.RefreshToken == refresh || token.Type() != "Bearer" || time.Until(token.Expiry) < 59*time.Minute {
						t.Errorf("type %q, expiry %v", token.Type(), token.Expiry)
					}
					s.wantWelcome(t, client.Client(t.Context(), token))
					refresh = token.RefreshToken
				}
				_, err := client.TokenSource(t.Context(), &oauth2.Token{RefreshToken: refresh + "x"}).Token()
				var refused *oauth2.RetrieveError
				if !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
					t.Errorf("error %v, want invalid_grant", err)
				}
				client.ClientSecret = "wrong"
				_, err = client.TokenSource(t.Context(), &oauth2.Token{RefreshToken: refresh}).Token()
				if !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" || refused.Response.StatusCode != http.StatusUnauthorized {
					t.Errorf("error %v, want invalid_client", err)
				}
			})
		}
	}
}

func (s *story) wantWelcome(t testing.TB, client *http.Client) {
	t.Helper()
	answer, err := client.Get(s.servers[1].URL + "/protected")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("/protected answers %d", answer.StatusCode)
	}
}
