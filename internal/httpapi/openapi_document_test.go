package httpapi_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// document is openapi.json, as a client reads it.
type document struct{ *openapi3.T }

func readDocument(t testing.TB) document {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	read, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	return document{read}
}

// describes tells whether the document foresees an answer: its status, media type, headers and body. Of an answer
// that grants something it must foresee the request too.
func (d document) describes(answer *http.Response, body string) error {
	request := answer.Request
	if request.Method == http.MethodOptions && request.Header.Get("Access-Control-Request-Method") != "" {
		return nil // a browser's own question (CORS) is no operation
	}
	route, parameters := d.route(request)
	input := &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters, Route: route, Options: &openapi3filter.Options{
		IncludeResponseStatus: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}}
	err := openapi3filter.ValidateResponse(request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.StatusCode, Header: answer.Header, Options: input.Options,
		Body: io.NopCloser(strings.NewReader(body)),
	})
	if err == nil {
		err = describesTheRest(route.Operation, answer, body)
	}
	if err == nil && answer.StatusCode < http.StatusMultipleChoices {
		err = describesRequest(input)
	}
	if err != nil {
		return fmt.Errorf("openapi.json does not describe %s %s → %d %s: %w", request.Method, route.Path, answer.StatusCode, body, err)
	}
	return nil
}

// describesTheRest looks at what the library lets pass: a status of which HTTP itself says that there is no body, a
// body where none is foreseen, and headers.
func describesTheRest(operation *openapi3.Operation, answer *http.Response, body string) error {
	foreseen := operation.Responses.Status(answer.StatusCode)
	if foreseen == nil {
		foreseen = operation.Responses.Default()
	}
	if foreseen == nil {
		return fmt.Errorf("status %d is not there", answer.StatusCode)
	}
	if len(foreseen.Value.Content) == 0 && body != "" {
		return fmt.Errorf("there is no body for status %d", answer.StatusCode)
	}
	for _, name := range []string{"Allow", "Etag", "Retry-After", "Set-Cookie", "Www-Authenticate", "X-Auth-User-Id"} {
		documented := false
		for header := range foreseen.Value.Headers {
			documented = documented || strings.EqualFold(header, name)
		}
		if answer.Header.Get(name) != "" && !documented {
			return fmt.Errorf("there is no header %s for status %d", name, answer.StatusCode)
		}
	}
	return nil
}

func describesRequest(input *openapi3filter.RequestValidationInput) error {
	parameters := slices.Concat(input.Route.PathItem.Parameters, input.Route.Operation.Parameters)
	for name := range input.Request.URL.Query() {
		if parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			return fmt.Errorf("there is no parameter %s", name)
		}
	}
	asked := input.Request.Clone(input.Request.Context())
	if input.Request.GetBody != nil {
		again, err := input.Request.GetBody()
		if err != nil {
			return err
		}
		asked.Body = again
	}
	input.Request = asked
	return openapi3filter.ValidateRequest(asked.Context(), input)
}

// route finds the operation of a request. Where there is none, it is one that only refuses.
func (d document) route(request *http.Request) (*routers.Route, map[string]string) {
	responses := d.Components.Responses
	refusing := func(status int, refusal string) *openapi3.Operation {
		return &openapi3.Operation{Responses: openapi3.NewResponses(
			openapi3.WithStatus(status, responses[refusal]), openapi3.WithStatus(http.StatusForbidden, responses["CrossOrigin"]),
			openapi3.WithStatus(http.StatusBadRequest, responses["PlainHTTP"]),
		)}
	}
	path, item, parameters := d.path(request.URL.EscapedPath())
	if item == nil {
		return &routers.Route{Spec: d.T, Path: "nowhere", PathItem: &openapi3.PathItem{}, Method: request.Method, Operation: refusing(http.StatusNotFound, "NotFound")}, nil
	}
	operation := item.GetOperation(request.Method)
	if operation == nil && (request.Method == http.MethodHead || item.Extensions["x-any-method"] == true) {
		operation = item.Get
	}
	if operation == nil {
		operation = refusing(http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
	return &routers.Route{Spec: d.T, Path: path, PathItem: item, Method: request.Method, Operation: operation}, parameters
}

// path finds a path in the document. A template's parameter is one segment, but what stands below /verify, which is
// all the rest.
func (d document) path(asked string) (string, *openapi3.PathItem, map[string]string) {
	if item := d.Paths.Value(asked); item != nil {
		return asked, item, nil
	}
	if rest, below := strings.CutPrefix(asked, "/verify/"); below {
		const path = "/verify/{path}"
		return path, d.Paths.Value(path), map[string]string{"path": rest}
	}
	for path, item := range d.Paths.Map() {
		before, after, templated := strings.Cut(path, "{id}")
		id, long := strings.CutPrefix(asked, before)
		id, same := strings.CutSuffix(id, after)
		if templated && long && same && id != "" && !strings.Contains(id, "/") {
			return path, item, map[string]string{"id": id}
		}
	}
	return "", nil, nil
}
