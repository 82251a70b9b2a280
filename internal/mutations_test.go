package internal_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kindred/internal/testdb"
)

var update = flag.Bool("update", false, "write the table of docs/assurance.md anew")

// mutation is a rule broken on purpose: a patch in testdata/mutations, with the test that must notice.
type mutation struct {
	name  string   // of the file, without .patch
	does  string   // what the patched program does wrong
	rule  string   // what it breaks
	room  string   // the package of the test
	test  string   // with its subtest
	files []string // that it changes
}

func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }

// Each patch is laid over the product (go test -overlay) and its test run: the test must fail, by
// itself and not for want of compiling or of a database. A rule whose breach nobody notices is a rule that
// nobody holds.
func TestMutations_EachIsNoticedByItsTest(t *testing.T) {
	t.Parallel()
	// One server for all of them: to start one for each takes longer than most of the tests. Each still makes
	// and migrates databases of its own on it, since a patch may be one of the migrations.
	server := testdb.Empty(t).URL()
	// Each is a whole go test, most of it a linker that keeps one processor busy.
	slots := make(chan struct{}, runtime.NumCPU())
	for _, m := range mutations(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			output, err := runMutated(t, m, server)
			switch {
			case err == nil:
				t.Errorf("%s passes, although: %s", m.test, m.does)
			case !bytes.Contains(output, []byte("--- FAIL: "+m.test+" ")):
				t.Errorf("%s did not fail by itself: %v\n%s", m.test, err, output)
			case bytes.Contains(output, []byte("testdb: ")):
				t.Errorf("%s lacked a database, whatever is broken: %s", m.test, output)
			}
		})
	}
}

// runMutated runs the mutation's test on the patched product, with databases on a server, and returns what
// go test printed.
func runMutated(t *testing.T, m mutation, server string) ([]byte, error) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for _, file := range m.files {
		copied := filepath.Join(dir, file)
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, file)] = copied
	}
	// git tolerates lines that moved, and nothing else.
	apply := exec.CommandContext(t.Context(), "git", "apply", filepath.Join(root, "testdata", "mutations", m.name+".patch"))
	apply.Dir = dir
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if output, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("the patch does not apply any more; make it anew: %v\n%s", err, output)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	// What vet finds in a patch is of no interest, as long as it compiles.
	test := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlayFile, "-vet=off", "-count=1", "-timeout=2m",
		"-run", runPattern(m.test), "./internal/"+m.room)
	test.Dir = root
	test.Env = append(os.Environ(), "KINDRED_TEST_POSTGRES=url", "TEST_DATABASE_URL="+server)
	return test.CombinedOutput()
}

// runPattern selects one test, or one subtest of it, and nothing beside.
func runPattern(test string) string {
	parts := strings.Split(test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

func TestMutations_TableOfTheDocs(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../docs/assurance.md", "<!-- mutations -->\n", "<!-- /mutations -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	table, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatal("docs/assurance.md has no place for the table")
	}
	want := "| mutation | what is broken | rule | the test that fails |\n|---|---|---|---|\n"
	for _, m := range mutations(t) {
		want += fmt.Sprintf("| `%s` | %s | %s | `%s` `%s` |\n", m.name, m.does, m.rule, m.room, m.test)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("the table differs from the patches (go test ./internal -run TableOfTheDocs -update writes it anew):\n%s", diff)
	}
}

func mutations(t *testing.T) []mutation {
	t.Helper()
	paths, err := filepath.Glob("../testdata/mutations/*.patch")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d patches, error %v", len(paths), err)
	}
	header := regexp.MustCompile(`^Mutation: (.+)\nRule: (.+)\nTest: internal/(\w+) (\S+)\n\n`)
	changed := regexp.MustCompile(`(?m)^\+\+\+ b/(\S+)`)
	var list []mutation
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h := header.FindStringSubmatch(string(text))
		if h == nil {
			t.Fatalf("%s does not begin with Mutation, Rule and Test", path)
		}
		m := mutation{name: strings.TrimSuffix(filepath.Base(path), ".patch"), does: h[1], rule: h[2], room: h[3], test: h[4]}
		for _, f := range changed.FindAllStringSubmatch(string(text), -1) {
			m.files = append(m.files, f[1])
		}
		list = append(list, m)
	}
	return list
}
