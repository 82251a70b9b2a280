package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheck(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Look for families that break an invariant, on a live database",
		Long: "Looks, in one snapshot of DATABASE_URL, for families that break an invariant (docs/invariants.md).\n" +
			"It changes nothing and blocks nobody. Exit code 1 if it finds any.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := openStore(p)
			if err != nil {
				return err
			}
			defer st.Close()
			violations, err := st.Check(cmd.Context())
			if err != nil {
				return err
			}
			for _, v := range violations {
				if _, err := fmt.Fprintf(p.stdout, "%s family %s: %s\n", v.Invariant, v.FamilyID, v.Detail); err != nil {
					return err
				}
			}
			if len(violations) > 0 {
				return fmt.Errorf("%d violations", len(violations))
			}
			_, err = fmt.Fprintln(p.stdout, "I1 to I5 hold")
			return err
		},
	}
}
