package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The role that replicas have in docker-compose.yml is bounded as deploy/sql/roles.sql has it.
func TestCompose_SessionsAreBoundedAsTheRolesAre(t *testing.T) {
	t.Parallel()
	settings := func(file, pattern string) []string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			if setting := strings.ReplaceAll(match[1], "''", "'"); setting != "role = 'kindred_owner'" {
				found = append(found, setting)
			}
		}
		return found
	}
	roles := settings("../../deploy/sql/roles.sql", `(?m)^        '([a-z_]+ = .+)'[,\]]`)
	compose := settings("../../deploy/postgres/10-roles.sh", `ALTER ROLE kindred_server IN DATABASE kindred SET (.+);`)
	if len(roles) == 0 || !slices.Equal(roles, compose) {
		t.Errorf("roles.sql has %q and compose %q", roles, compose)
	}
}
