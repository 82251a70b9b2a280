package audit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kindred/internal/audit"
)

// declared reads the kinds from the source, so that none is left out of the list.
func declared(t *testing.T) (kinds []audit.Kind) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Kind" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, audit.Kind(text))
		}
		return true
	})
	slices.Sort(kinds)
	return kinds
}

func TestKinds_AreAllThatAreDeclared(t *testing.T) {
	t.Parallel()
	want, got := declared(t), slices.Sorted(slices.Values(audit.Kinds()))
	if len(want) < 20 || !slices.Equal(got, want) {
		t.Errorf("listed %v, declared %v", got, want)
	}
	if audit.Known("") || !audit.Known(audit.LoginOK) {
		t.Error("Known does not know")
	}
}

// The page has a row for each kind and for no other.
func TestKinds_AreThoseOfTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "## Kinds")
	if !found {
		t.Fatal("no table of kinds")
	}
	var got []audit.Kind
	for _, line := range strings.Split(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			got = append(got, audit.Kind(name[1]))
		}
	}
	slices.Sort(got)
	if want := declared(t); !slices.Equal(got, want) {
		t.Errorf("the page has %v, declared are %v", got, want)
	}
}
