package main

import "github.com/spf13/cobra"

func newCompletion(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script by which a shell completes kindred's commands and flags",
		Long: "Prints a script for a shell to read. It offers commands, flags, and what a flag takes where that is one of\n" +
			"a few words. Names of users, clients and sessions are not offered: no key that is pressed asks the database.",
		Example: `source <(kindred completion bash)   # in this shell; it needs the package bash-completion
kindred completion bash > /etc/bash_completion.d/kindred
kindred completion zsh > "${fpath[1]}/_kindred"
kindred completion fish > ~/.config/fish/completions/kindred.fish`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.stdout)
			case "fish":
				return root.GenFishCompletion(p.stdout, true)
			}
			return root.GenPowerShellCompletionWithDesc(p.stdout)
		},
	}
}

// offer tells shells the words that a flag takes, or the usual ones where others are taken too.
func offer[Word ~string](cmd *cobra.Command, flag string, words ...Word) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(completions(words), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag stands a few lines above
	}
}

// offerArgument is offer for the argument at that position, from 0.
func offerArgument[Word ~string](cmd *cobra.Command, position int, words ...Word) {
	cmd.ValidArgsFunction = func(_ *cobra.Command, before []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(before) != position {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completions(words), cobra.ShellCompDirectiveNoFileComp
	}
}

func completions[Word ~string](words []Word) []cobra.Completion {
	texts := make([]cobra.Completion, 0, len(words))
	for _, word := range words {
		texts = append(texts, string(word))
	}
	return texts
}
