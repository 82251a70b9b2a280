package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"kindred/internal/account"
	"kindred/internal/auth"
	"kindred/internal/testdb"
	"kindred/internal/token"
)

// Whatever the document shows somebody sends does what the document says. An operation without a body is sent with
// each of the credentials that it takes. Each parameter of an example is the document's own, but the ids and tokens of
// the day.
func TestOpenAPI_EachExampleIsAnsweredAsDocumented(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	newExampleWorld(t, db, db.URL()).sendAll(t, success)
}

// Where the document has a 503 the database is asked, and nobody is told anything else while it is away. All else is
// answered without it, and so are the keys while they are remembered.
func TestOpenAPI_EachExampleWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	const nowhere = "postgres://kindred@127.0.0.1:1/kindred"
	newExampleWorld(t, testdb.New(t), nowhere).sendAll(t, func(operation *openapi3.Operation) int {
		if operation.Responses.Status(http.StatusServiceUnavailable) != nil && operation.OperationID != "keySet" {
			return http.StatusServiceUnavailable
		}
		return success(operation)
	})
}

// sendAll sends each example of the document, which must describe the answer, and each operation must have one.
func (w exampleWorld) sendAll(t *testing.T, want func(*openapi3.Operation) int) {
	t.Helper()
	d := readDocument(t)
	for path, item := range d.Paths.Map() {
		for method, operation := range item.Operations() {
			examples := examplesOf(path, method, item, operation)
			if len(examples) == 0 {
				t.Errorf("%s %s has no example", method, path)
			}
			for _, e := range examples {
				answer, body := w.send(t, e, w.begin(t, e), func(*http.Request) {})
				if answer.StatusCode != want(operation) {
					t.Errorf("%s: %d %s, want %d", e, answer.StatusCode, body, want(operation))
				}
				if err := d.describes(answer, body); err != nil {
					t.Errorf("%s: %v", e, err)
				}
			}
		}
	}
}

// example is a request of the document.
type example struct {
	method, path, name string
	parameters         openapi3.Parameters
	credential         string // a security scheme, empty for none
	mediaType          string // empty: no body
	value              map[string]any
}

func (e example) String() string {
	return fmt.Sprintf("%s %s, example %q with credential %q", e.method, e.path, e.name, e.credential)
}

func examplesOf(path, method string, item *openapi3.PathItem, operation *openapi3.Operation) (list []example) {
	bare := example{method: method, path: path, parameters: slices.Concat(item.Parameters, operation.Parameters)}
	var credentials []string
	for _, requirement := range *operation.Security {
		credential := ""
		for credential = range requirement {
		}
		credentials = append(credentials, credential)
	}
	if operation.RequestBody == nil {
		for _, credential := range credentials {
			e := bare
			e.credential = credential
			list = append(list, e)
		}
		return list
	}
	for mediaType, content := range operation.RequestBody.Value.Content {
		for name, documented := range content.Examples {
			e := bare
			e.name, e.mediaType, e.credential = name, mediaType, credentials[0]
			e.value, _ = documented.Value.Value.(map[string]any)
			if other, given := documented.Value.Extensions["x-security"].(string); given {
				e.credential = other
			}
			list = append(list, e)
		}
	}
	return list
}

// success is the status of an operation that does what it is for.
func success(operation *openapi3.Operation) int {
	for status := range 100 {
		if operation.Responses.Status(200+status) != nil {
			return 200 + status
		}
	}
	return 0
}

// exampleWorld is a server, and beside it the users and clients that the document's examples speak of.
type exampleWorld struct {
	service *auth.Service
	server  *httptest.Server
	secret  string // of the client shop
}

const examplePassword = "seven kites over the harbour"

// newExampleWorld makes a server that finds the database at a URL, perhaps in vain.
func newExampleWorld(t *testing.T, db *testdb.DB, url string) exampleWorld {
	t.Helper()
	box, err := token.NewKeyBox(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	config := replicaConfig{url: db.URL(), timeout: 5 * time.Second, registration: true, tlsOnly: true, keys: token.NewKeys(), keyBox: box}
	service, _ := newAPI(t, db, config)
	config.url = url
	_, api := newAPI(t, db, config)
	w := exampleWorld{service: service, server: httptest.NewServer(api)}
	t.Cleanup(w.server.Close)
	if _, err := service.AddClient(t.Context(), operator, account.Client{ID: "phone", Name: "phone", Type: account.PublicClient}); err != nil {
		t.Fatal(err)
	}
	secret, err := service.AddClient(t.Context(), operator, account.Client{ID: "shop", Name: "shop", Type: account.ConfidentialClient, MayIntrospect: true})
	if err != nil {
		t.Fatal(err)
	}
	w.secret = secret.Reveal()
	return w
}

// send sends an example, after a last change to it.
func (w exampleWorld) send(t *testing.T, e example, live liveValues, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), e.method, w.server.URL+live.url(e), strings.NewReader(live.body(t, e)))
	if err != nil {
		t.Fatal(err)
	}
	if e.mediaType != "" {
		request.Header.Set("Content-Type", e.mediaType)
	}
	switch e.credential {
	case "bearer":
		request.Header.Set("Authorization", "Bearer "+live.access)
	case "client":
		request.Header.Set("Authorization", basic("shop:"+w.secret))
	case "accessCookie":
		request.AddCookie(&http.Cookie{Name: "__Host-kindred_access", Value: live.access})
	case "refreshCookie":
		request.AddCookie(&http.Cookie{Name: "__Host-kindred_refresh", Value: live.tokens["refreshToken"]})
	}
	change(request)
	answer, err := w.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// liveValues stand in for those of the document that another server gave at another time.
type liveValues struct {
	access, anas string            // access tokens: of who asks, and of ana
	user, family string            // ids
	tokens       map[string]string // by the member or parameter that has them
}

// begin leaves nobody but ana and the admin boss, each logged in.
func (w exampleWorld) begin(t *testing.T, e example) liveValues {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ana", "bob", "boss"} {
		if err := w.service.DeleteUser(t.Context(), operator, name); !errors.Is(err, auth.ErrUserNotFound) {
			must(err)
		}
	}
	ana, err := w.service.CreateUser(t.Context(), operator, "ana", examplePassword, "user")
	must(err)
	_, err = w.service.CreateUser(t.Context(), operator, "boss", examplePassword, account.RoleAdmin)
	must(err)
	login := auth.LoginRequest{Username: "ana", Password: examplePassword}
	if e.credential == "client" {
		login.Client = auth.ClientCredentials{ID: "shop", Secret: w.secret}
	}
	anas, err := w.service.Login(t.Context(), auth.Caller{}, login)
	must(err)
	boss, err := w.service.Login(t.Context(), auth.Caller{}, auth.LoginRequest{Username: "boss", Password: examplePassword})
	must(err)
	families, err := w.service.Families(t.Context(), "ana", auth.FamilyQuery{Page: auth.Page{Limit: 1}})
	must(err)
	link, err := w.service.MakeResetLink(t.Context(), operator, "ana")
	must(err)
	live := liveValues{access: anas.AccessToken, anas: anas.AccessToken, user: ana.ID.String(), family: families.Families[0].ID.String(), tokens: map[string]string{
		"refreshToken": anas.RefreshToken, "refresh_token": anas.RefreshToken, "token": anas.RefreshToken, "deviceToken": anas.DeviceToken,
	}}
	if strings.HasPrefix(e.path, "/admin/") {
		live.access = boss.AccessToken
	}
	if strings.Contains(e.path, "reset") {
		_, live.tokens["token"], _ = strings.Cut(link.URL.Reveal(), "token=")
	}
	return live
}

func (v liveValues) url(e example) string {
	path, query := e.path, url.Values{}
	for _, parameter := range e.parameters {
		value := fmt.Sprint(parameter.Value.Example)
		switch {
		case parameter.Value.Example == nil:
			continue
		case parameter.Value.Name == "id" && strings.HasPrefix(path, "/admin/users/"):
			value = v.user
		case parameter.Value.Name == "id" || parameter.Value.Name == "family":
			value = v.family
		case v.tokens[parameter.Value.Name] != "":
			value = v.tokens[parameter.Value.Name]
		}
		if parameter.Value.In == openapi3.ParameterInQuery {
			query.Set(parameter.Value.Name, value)
		}
		path = strings.Replace(path, "{"+parameter.Value.Name+"}", value, 1)
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

func (v liveValues) body(t *testing.T, e example) string {
	t.Helper()
	if e.mediaType == "" {
		return ""
	}
	object, form := map[string]any{}, url.Values{}
	for name, value := range e.value {
		if v.tokens[name] != "" {
			value = v.tokens[name]
		}
		object[name] = value
		form.Set(name, fmt.Sprint(value))
	}
	if e.mediaType != "application/json" {
		return form.Encode()
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
