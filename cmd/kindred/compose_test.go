package main

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The role that replicas have in docker-compose.yml is bounded as the operators' page demands.
func TestCompose_SessionsAreBoundedAsTheOperatorsPageSays(t *testing.T) {
	t.Parallel()
	settings := func(file, role string) []string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, match := range regexp.MustCompile(`ALTER ROLE `+role+` IN DATABASE kindred SET (.+);`).FindAllStringSubmatch(string(text), -1) {
			found = append(found, match[1])
		}
		return found
	}
	page := settings("../../docs/operations.md", "kindred")
	compose := slices.DeleteFunc(settings("../../deploy/postgres/10-roles.sh", "kindred_server"), func(s string) bool { return s == "role = 'kindred_owner'" })
	if len(page) == 0 || !slices.Equal(page, compose) {
		t.Errorf("the page has %q and compose %q", page, compose)
	}
}
