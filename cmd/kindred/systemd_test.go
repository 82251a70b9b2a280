package main

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// unit is a unit file of systemd: what stands behind a name, in order.
type unit map[string][]string

func readUnit(t testing.TB, name string) unit {
	t.Helper()
	text, err := os.ReadFile(deployFolder + "systemd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q sets nothing", name, line)
		}
		u[key] = append(u[key], value)
	}
	return u
}

// variables are those of its own lines, without the file that it names.
func (u unit) variables() variables {
	set := variables{}
	for _, assignment := range u["Environment"] {
		name, value, _ := strings.Cut(assignment, "=")
		set[name] = value
	}
	return set
}

// Each secret is a file that root alone can read, passed on by systemd, and no other is passed on.
func TestSystemd_SecretsAreCredentials(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"kindred.service", "kindred-migrate.service"} {
		u := readUnit(t, name)
		var loaded, read []string
		for _, credential := range u["LoadCredential"] {
			id, file, _ := strings.Cut(credential, ":")
			loaded = append(loaded, id)
			if path.Dir(file) != "/etc/kindred" {
				t.Errorf("%s takes %s from %s", name, id, file)
			}
		}
		for variable, value := range u.variables() {
			id, ok := strings.CutPrefix(value, "%d/")
			if !ok || !strings.HasSuffix(variable, "_FILE") {
				t.Errorf("%s sets %s to what is no credential", name, variable)
			}
			read = append(read, id)
		}
		if !sameWords(loaded, read) || len(read) == 0 {
			t.Errorf("%s loads %q and reads %q", name, loaded, read)
		}
	}
	if slices.Equal(readUnit(t, "kindred.service")["LoadCredential"][:1], readUnit(t, "kindred-migrate.service")["LoadCredential"]) {
		t.Error("the server has the role that owns the schema")
	}
}

// It ends in its own time, and comes back whatever the trouble is; nothing migrates by itself.
func TestSystemd_WhatStartsAndEnds(t *testing.T) {
	t.Parallel()
	server, migrations := readUnit(t, "kindred.service"), readUnit(t, "kindred-migrate.service")
	for key, want := range map[string]string{
		"ExecStart": "/usr/local/bin/kindred serve", "KillSignal": "SIGTERM", "TimeoutStopSec": "30s", "Restart": "on-failure", "WantedBy": "multi-user.target",
	} {
		if got := server[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := migrations["ExecStart"]; !slices.Equal(got, []string{"/usr/local/bin/kindred migrate up"}) || migrations["WantedBy"] != nil || migrations["Before"] != nil {
		t.Errorf("migrations start by %q for %q", got, migrations["WantedBy"])
	}
	for _, u := range []unit{server, migrations} {
		for _, key := range []string{"Wants", "Requires", "ExecStartPre", "ExecStartPost"} {
			if strings.Contains(strings.Join(u[key], " "), "kindred") {
				t.Errorf("%s=%q", key, u[key])
			}
		}
	}
}
