package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheck(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for families that break an invariant, on a live database",
		Long: "Looks, in one snapshot of DATABASE_URL, for families that break an invariant (docs/invariants.md).\n" +
			"It changes nothing and blocks nobody. Exit code 1 if it finds any.",
		Args: cobra.NoArgs,
	}
	out := newPrinter(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		st, err := openStore(p)
		if err != nil {
			return err
		}
		defer st.Close()
		violations, err := st.Check(cmd.Context())
		if err != nil {
			return err
		}
		bodies, words := make([]violationBody, 0, len(violations)), ""
		for _, v := range violations {
			bodies = append(bodies, violationBody{v.Invariant, v.FamilyID.String(), v.Detail})
			words += fmt.Sprintf("%s family %s: %s\n", v.Invariant, v.FamilyID, v.Detail)
		}
		if len(violations) == 0 {
			words = "I1 to I5 hold\n"
		}
		err = out.print(struct {
			Violations []violationBody `json:"violations"`
		}{bodies}, "%s", words)
		if err == nil && len(violations) > 0 {
			err = fmt.Errorf("%d violations", len(violations))
		}
		return err
	}
	return cmd
}

type violationBody struct {
	Invariant string `json:"invariant"`
	FamilyID  string `json:"familyId"`
	Detail    string `json:"detail"`
}
