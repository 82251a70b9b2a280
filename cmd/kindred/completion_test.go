package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kindred/internal/audit"
)

// offered is what a shell is told for the last of these words.
func offered(t testing.TB, words ...string) (list []string, directive string) {
	t.Helper()
	stdout, stderr, code := run(t, "", nil, append([]string{"__complete"}, words...)...)
	if code != 0 {
		t.Fatalf("%q: exit code %d: %s", words, code, stderr)
	}
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		word, _, _ := strings.Cut(line, "\t")
		list = append(list, word)
	}
	return list[:len(list)-1], list[len(list)-1]
}

func TestCompletion_OffersTheWordsThatAreTaken(t *testing.T) {
	t.Parallel()
	var kinds []string
	for _, kind := range audit.Kinds() {
		kinds = append(kinds, string(kind))
	}
	const files, noFiles = ":0", ":4"
	for _, c := range []struct {
		words     []string
		want      []string
		directive string
	}{
		{[]string{"session", "re"}, []string{"revoke"}, noFiles},
		{[]string{"events", "--kind", ""}, kinds, noFiles},
		{[]string{"client", "add", "shop", "--type", ""}, []string{"public", "confidential"}, noFiles},
		{[]string{"user", "list", "--state", ""}, []string{"enabled", "disabled", "all"}, noFiles},
		{[]string{"session", "list", "ana", "--state", ""}, []string{"live", "ended", "all"}, noFiles},
		{[]string{"user", "add", "ana", "--role", ""}, []string{"user", "admin"}, noFiles},
		{[]string{"user", "set-role", "ana", ""}, []string{"user", "admin"}, noFiles},
		{[]string{"user", "set-role", ""}, nil, noFiles}, // a name: nobody is asked
		{[]string{"user", "show", ""}, nil, noFiles},
		{[]string{"user", "import", ""}, nil, files},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish", "powershell"}, noFiles},
	} {
		got, directive := offered(t, c.words...)
		if !sameWords(got, c.want) || directive != c.directive {
			t.Errorf("%q: %q and %s, want %q and %s", c.words, got, directive, c.want, c.directive)
		}
	}
}

func sameWords(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// The script works in the shell that it is for. What the package bash-completion would bring is one function.
func TestCompletion_OfBashInBash(t *testing.T) {
	t.Parallel()
	script, stderr, code := run(t, "", nil, "completion", "bash")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	const press = `
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
COMP_WORDS=(kindred client add shop --type p); COMP_CWORD=5
COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
__start_kindred && printf '%s\n' "${COMPREPLY[@]}"
`
	bash := exec.CommandContext(t.Context(), "bash", "--norc", "-c", script+press)
	bash.Env = []string{"PATH=" + filepath.Dir(binary) + ":/usr/bin:/bin"}
	var out, errOut bytes.Buffer
	bash.Stdout, bash.Stderr = &out, &errOut
	if err := bash.Run(); err != nil || strings.TrimSpace(out.String()) != "public" {
		t.Errorf("bash offers %q, %v: %s", out.String(), err, errOut.String())
	}
}

func TestCompletion_EachShellHasAScript(t *testing.T) {
	t.Parallel()
	for shell, part := range map[string]string{
		"zsh": "#compdef kindred", "fish": "complete -c kindred", "powershell": "Register-ArgumentCompleter",
	} {
		if script, stderr, code := run(t, "", nil, "completion", shell); code != 0 || !strings.Contains(script, part) {
			t.Errorf("%s: exit code %d: %s", shell, code, stderr)
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "csh"}, {"completion", "bash", "zsh"}} {
		if _, stderr, code := run(t, "", nil, args...); code != exitUsage || stderr == "" {
			t.Errorf("%q: exit code %d: %s", args, code, stderr)
		}
	}
}
