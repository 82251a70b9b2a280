// Package internal_test holds the house's doors: who may import whom.
package internal_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// doors says, for each room, which rooms of ours its product code may enter. A room that is not here
// fails the test: its doors want thinking about first.
var doors = map[string][]string{
	"family":     nil,
	"account":    nil,
	"oauth":      nil,
	"audit":      nil,
	"password":   nil,
	"breach":     nil,
	"token":      nil,
	"config":     nil,
	"migrations": nil,
	"store":      {"family", "account", "audit", "migrations"},
	"revocation": {"store"},
	"auth":       {"store", "revocation", "token", "password", "family", "account", "audit"},
	"httpapi":    {"auth", "account", "oauth", "audit"},
	"metrics":    {"auth", "store", "revocation", "token", "password", "family", "audit"},
	"web":        {"auth", "account", "oauth", "audit", "httpapi"},
	"devdb":      {"migrations"},
	"testdb":     {"devdb", "migrations"},
	"cmd":        {"config", "auth", "store", "token", "password", "httpapi", "web", "revocation", "account", "audit", "family", "devdb", "migrations", "breach", "metrics"},
}

// keepers says which rooms may know a library, in product code.
var keepers = map[string][]string{
	"github.com/jackc/pgx":     {"store", "migrations", "devdb", "testdb", "cmd"},
	"github.com/pressly/goose": {"migrations"},
	"net/http":                 {"httpapi", "web", "breach", "cmd"},
	"github.com/gorilla/mux":   {"httpapi", "web"},
	"github.com/golang-jwt":    {"token"},
	"database/sql":             {"migrations"},
	"testing":                  {"testdb"},
	"pgregory.net/rapid":       {"testdb"},

	"github.com/prometheus/client_golang": {"metrics", "cmd"},
	"go.opentelemetry.io":                 {"cmd"},
	"github.com/exaring/otelpgx":          {"cmd"},
}

const module = "kindred/"

func TestImports_EveryRoomKeepsItsDoors(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != ".." {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasPrefix(path, filepath.Join("..", "testdata")) {
			return nil
		}
		files++
		checkFile(t, filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator))))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d files were looked at", files)
	}
}

func checkFile(t *testing.T, file string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.ImportsOnly)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	if slices.Contains([]string{"util", "utils", "common", "helpers", "manager", "impl", "models", "types"}, tree.Name.Name) {
		t.Errorf("%s: package %s says nothing about what is in it", file, tree.Name.Name)
	}
	room := roomOf(file)
	if room == "" {
		return // this test
	}
	allowed, known := doors[room]
	if !known {
		t.Errorf("%s: room %q has no doors yet; enter it into this test", file, room)
		return
	}
	if strings.HasSuffix(file, "_test.go") {
		return
	}
	for _, spec := range tree.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, module) {
			if target := roomOf(strings.TrimPrefix(path, module) + "/x.go"); target != room && !slices.Contains(allowed, target) {
				t.Errorf("%s imports %s: %s may only enter %v", file, path, room, allowed)
			}
		}
		for library, rooms := range keepers {
			if (path == library || strings.HasPrefix(path, library+"/")) && !slices.Contains(rooms, room) {
				t.Errorf("%s imports %s: only %v may know it", file, path, rooms)
			}
		}
	}
}

// roomOf names the room that a file belongs to: internal/store/users.go is in store.
func roomOf(file string) string {
	parts := strings.Split(file, "/")
	if parts[0] != "internal" {
		return parts[0]
	}
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// main joins the commands and nothing else.
func TestMain_StaysShort(t *testing.T) {
	t.Parallel()
	const most = 80
	text, err := os.ReadFile("../cmd/kindred/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines > most {
		t.Errorf("main.go has %d lines, %d at most", lines, most)
	}
}
