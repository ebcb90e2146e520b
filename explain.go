package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"starbook/runtime/event"
	"starbook/runtime/store"
)

func (a *app) explainCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain STEP", Short: "Say why a step ran: what differed from the nearest one before it",
		Long:    "STEP is the beginning of a fingerprint, as starbook show prints it, or the name of a built-in: the last that ran.",
		Example: "  starbook explain 3f9a\n  starbook explain lora.train",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			x, err := explain(st, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), x)
			}
			return x.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// explanation is why a step ran, and where it was used since.
type explanation struct {
	store.Step
	Uses []store.Use `json:"uses"` // the first is the run that did it
	Why  reason      `json:"why"`
}

func explain(st *store.Store, ref string) (*explanation, error) {
	step, err := findStep(st, ref)
	if err != nil {
		return nil, err
	}
	x := &explanation{Step: step}
	if x.Uses, err = st.StepUses(step); err != nil {
		return nil, err
	}
	if len(x.Uses) == 0 {
		return nil, fmt.Errorf("step %s: %w: no run used it", step.Key.Short(), store.ErrNotFound)
	}
	if i := slices.IndexFunc(x.Uses, func(u store.Use) bool { return !u.Hit && u.Failed == "" }); i > 0 {
		x.Uses = x.Uses[i:] // it failed before
	}
	run, err := st.Run(x.Uses[0].Run)
	if err != nil {
		return nil, err
	}
	seq, err := st.StepSeq(step)
	if err != nil {
		return nil, err
	}
	past, err := st.Past(step.Name, seq, pastSteps)
	if err != nil {
		return nil, err
	}
	x.Why = nearest(st, wanted{notebook: run.Notebook, version: step.Version, line: x.Uses[0].Line, args: step.Args}, past)
	return x, nil
}

// findStep finds a step by the beginning of its fingerprint, or the last of a name.
func findStep(st *store.Store, ref string) (store.Step, error) {
	if !strings.Contains(ref, ".") {
		return st.FindStep(ref)
	}
	last, err := st.Past(ref, 0, 1)
	if err != nil {
		return store.Step{}, err
	}
	if len(last) == 0 {
		return store.Step{}, fmt.Errorf("step %s: %w: none has been done", ref, store.ErrNotFound)
	}
	return last[0].Step, nil
}

func (x *explanation) print(w io.Writer) error {
	first := x.Uses[0]
	fmt.Fprintf(w, "%s %s ran in run %s, line %d, for %s, $%.2f\n", x.Name, x.Key.Short(), first.Run, first.Line, event.Seconds(x.Seconds), x.CostUSD)
	for _, line := range x.Why.lines() {
		fmt.Fprintln(w, "  "+line)
	}
	if n := len(x.Uses) - 1; n > 0 {
		fmt.Fprintf(w, "found again %d times, last in run %s\n", n, x.Uses[n].Run)
	}
	return nil
}
