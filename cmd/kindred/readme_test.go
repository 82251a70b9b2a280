package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kindred/internal/config"
)

var update = flag.Bool("update", false, "write anew what is made from the code")

// README's table is made from the code, so that it cannot be wrong.
func TestReadme_TableOfSettingsIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../README.md", "<!-- settings -->\n", "<!-- /settings -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	table, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatal("README has no place for the settings")
	}
	want := settingsTable()
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("README differs from the code (go test ./cmd/kindred -run Readme -update writes it anew):\n%s", diff)
	}
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| variable | default | |\n|---|---|---|\n")
	for _, s := range config.Settings() {
		description, value := s.Description, ""
		if s.File {
			description += " *(file)*"
		}
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		b.WriteString("| `" + s.Name + "` | " + value + " | " + description + " |\n")
	}
	return b.String()
}
