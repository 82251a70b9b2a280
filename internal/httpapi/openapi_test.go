package httpapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/mux"

	"kindred/internal/httpapi"
	"kindred/internal/web"
)

func TestOpenAPI_IsADocumentOfVersion31(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	if err := d.Validate(t.Context()); err != nil || !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("version %s, error %v", d.OpenAPI, err)
	}
	named := map[string]bool{}
	for path, item := range d.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.OperationID == "" || named[operation.OperationID] || operation.Summary == "" || operation.Security == nil {
				t.Errorf("%s %s: its id %q is not its own, or it says too little", method, path, operation.OperationID)
			}
			named[operation.OperationID] = true
		}
	}
}

// What is served is in the document, and the other way round.
func TestOpenAPI_HasEachRouteAndNoOther(t *testing.T) {
	t.Parallel()
	api := httpapi.New(httpapi.Config{PublicURL: "https://id.example", RequestTimeout: time.Minute, Log: slog.New(slog.DiscardHandler)}, nil)
	web.Mount(api, nil)
	var served []string
	err := api.Router().Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		if err != nil { // any
			methods = []string{"ANY"}
		}
		for _, method := range methods {
			served = append(served, method+" "+path)
		}
		return nil
	})
	if err != nil || len(served) < 40 {
		t.Fatalf("%d routes, error %v", len(served), err)
	}
	var documented []string
	for path, item := range readDocument(t).Paths.Map() {
		path = strings.TrimSuffix(path, "{path}")
		for method := range item.Operations() {
			switch {
			case item.Extensions["x-any-method"] == true:
				documented = append(documented, "ANY "+path)
				continue
			case method == "GET":
				documented = append(documented, "HEAD "+path)
			}
			documented = append(documented, method+" "+path)
		}
	}
	wantSame(t, "routes", documented, served)
}

// A client that branches on codes finds all of them, each under its status.
func TestOpenAPI_HasTheCodesOfTheTable(t *testing.T) {
	t.Parallel()
	d, statuses := readDocument(t), problemStatuses(t)
	wantSame(t, "codes", words(d.Components.Schemas["ProblemCode"].Value.Enum), slices.Collect(maps.Keys(statuses)))

	answered := map[string]bool{}
	check := func(place string, status int, content openapi3.Content) {
		problem := content.Get("application/problem+json")
		if problem == nil {
			return
		}
		for _, code := range words(narrowed(problem.Schema, "code")) {
			answered[code] = true
			if !slices.Contains(statuses[code], status) {
				t.Errorf("%s: %s is not %d", place, code, status)
			}
		}
	}
	for path, item := range d.Paths.Map() {
		for method, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				number, err := strconv.Atoi(status)
				if err != nil {
					number = 500 // default
				}
				check(method+" "+path, number, response.Value.Content)
			}
		}
	}
	check("no such path", 404, d.Components.Responses["NotFound"].Value.Content)
	check("no such method", 405, d.Components.Responses["MethodNotAllowed"].Value.Content)
	wantSame(t, "codes of answers", slices.Collect(maps.Keys(answered)), slices.Collect(maps.Keys(statuses)))
}

// narrowed are the values that a response leaves of a member.
func narrowed(schema *openapi3.SchemaRef, member string) []any {
	for _, part := range schema.Value.AllOf {
		if code := part.Value.Properties[member]; code != nil {
			return code.Value.Enum
		}
	}
	return nil
}

// problemStatuses reads the table of problems from the source, so that none is left out.
func problemStatuses(t *testing.T) map[string][]int {
	t.Helper()
	named := map[string]int{}
	for status := range 600 {
		named["Status"+strings.ReplaceAll(http.StatusText(status), " ", "")] = status
	}
	statuses := map[string][]int{}
	for _, literal := range literals(t, "problems.go", "Problem") {
		code := text(t, literal.Elts[1])
		statuses[code] = append(statuses[code], named[literal.Elts[0].(*ast.SelectorExpr).Sel.Name])
	}
	// Invalid input is named by its field.
	fields := statuses["invalid_input"]
	delete(statuses, "invalid_input")
	for _, file := range []string{"names.go", "password.go", "password_policy.go", "search.go"} {
		for _, literal := range literals(t, "../account/"+file, "InvalidError") {
			statuses["invalid_"+text(t, literal.Elts[0].(*ast.KeyValueExpr).Value)] = fields
		}
	}
	return statuses
}

// literals are the composite literals of a type in a file.
func literals(t *testing.T, file, name string) (found []*ast.CompositeLit) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if kind, ok := literal.Type.(*ast.Ident); ok && kind.Name == name && len(literal.Elts) > 0 {
			found = append(found, literal)
		}
		return true
	})
	return found
}

func text(t *testing.T, e ast.Expr) string {
	t.Helper()
	value, err := strconv.Unquote(e.(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func words(values []any) (list []string) {
	for _, value := range values {
		list = append(list, value.(string))
	}
	return list
}

func wantSame(t *testing.T, what string, documented, real []string) {
	t.Helper()
	for _, name := range documented {
		if !slices.Contains(real, name) {
			t.Errorf("%s: openapi.json has %s, which there is not", what, name)
		}
	}
	for _, name := range real {
		if !slices.Contains(documented, name) {
			t.Errorf("%s: openapi.json does not have %s", what, name)
		}
	}
}
