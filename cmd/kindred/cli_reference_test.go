package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// The page is made from the commands, so that it cannot name one that is not there, or leave one out.
func TestCLIReference_IsThatOfTheCommands(t *testing.T) {
	t.Parallel()
	const file = "../../docs/cli.md"
	want := cliReference(newRoot(process{stdin: os.Stdin, stdout: t.Output(), stderr: t.Output()}))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(page)); diff != "" {
		t.Errorf("docs/cli.md differs from the commands (go test ./cmd/kindred -run CLIReference -update writes it anew):\n%s", diff)
	}
}

func cliReference(root *cobra.Command) string {
	root.InitDefaultHelpCmd()
	var list, parts strings.Builder
	for _, cmd := range root.Commands() {
		if !cmd.IsAvailableCommand() || cmd.Name() == "help" {
			continue
		}
		fmt.Fprintf(&list, "| [`%s`](#%s) | %s |\n", cmd.CommandPath(), strings.ReplaceAll(cmd.CommandPath(), " ", "-"), cmd.Short)
		describeCommand(&parts, cmd, 2)
	}
	_, codes, _ := strings.Cut(exitCodes, "\n\n")
	return "# Command line\n\n" +
		"<!-- Written by `go test ./cmd/kindred -run CLIReference -update` from the commands themselves. -->\n\n" +
		"`kindred help COMMAND` and `--help` say the same. Settings come from the [environment](../README.md#settings).\n" +
		"What a command needs beyond `DATABASE_URL` it names when it lacks it.\n\n" +
		"| command | |\n|---|---|\n" + list.String() + "\n" + parts.String() +
		"## Exit codes\n\n" + strings.SplitN(exitCodes, "\n", 2)[0] + "\n\n```text\n" + codes + "```\n"
}

// describeCommand writes what --help says of a command, and then of those below it.
func describeCommand(b *strings.Builder, cmd *cobra.Command, level int) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "%s %s\n\n%s\n\n", strings.Repeat("#", level), cmd.CommandPath(), text)
	if !cmd.HasSubCommands() {
		fmt.Fprintf(b, "```text\n%s\n", cmd.UseLine())
		if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(b, "\n%s", flags.FlagUsages())
		}
		b.WriteString("```\n\n")
	}
	if cmd.HasExample() {
		fmt.Fprintf(b, "```bash\n%s\n```\n\n", cmd.Example)
	}
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() {
			describeCommand(b, child, level+1)
		}
	}
}

// An example that the command line itself refuses would teach a mistake.
func TestCLIReference_ExamplesAreTaken(t *testing.T) {
	t.Parallel()
	examples := 0
	for _, cmd := range commands(t) {
		for _, line := range strings.Split(cmd.Example, "\n") {
			line, _, _ = strings.Cut(line, "  #")
			line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "source <("), ")")
			if line == "" {
				continue
			}
			examples++
			if err := tryExample(t, cmd.CommandPath(), line); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if examples == 0 {
		t.Error("no command has an example")
	}
}

// tryExample reads a line as the command would before it does anything.
func tryExample(t testing.TB, path, line string) error {
	words, err := shellWords(line)
	if err != nil {
		return err
	}
	cmd, args, err := newRoot(process{stdin: os.Stdin, stdout: t.Output(), stderr: t.Output()}).Find(words[1:])
	if err != nil {
		return err
	}
	if words[0] != "kindred" || cmd.CommandPath() != path {
		return fmt.Errorf("stands at %s and is one of %s", path, cmd.CommandPath())
	}
	if err := cmd.ParseFlags(args); err != nil {
		return err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	return cmd.ValidateFlagGroups()
}

// shellWords splits a line as far as examples need it: words, double quotes, and an end at a redirection.
func shellWords(line string) (words []string, err error) {
	for rest := strings.TrimSpace(line); rest != "" && rest[0] != '<' && rest[0] != '>'; rest = strings.TrimSpace(rest) {
		var word string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			if word, rest, ok = strings.Cut(quoted, `"`); !ok {
				return nil, fmt.Errorf("a quote does not end")
			}
		} else {
			word, rest, _ = strings.Cut(rest, " ")
		}
		words = append(words, word)
	}
	return words, nil
}
