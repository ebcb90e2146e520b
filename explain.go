package main

import (
	"encoding/json"
	"errors"
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
		Use: "explain STEP", Short: "Say why a step ran, what differed from the nearest one before it, or why it failed",
		Long:    "STEP is the beginning of a fingerprint, as starbook show prints it, or the name of a built-in: the last that ran or failed.",
		Example: "  starbook explain 3f9a\n  starbook explain lora.train",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			x, err := explain(st, args[0])
			if f, failed := explainFailure(st, args[0], x); failed == nil {
				if asJSON {
					return writeJSON(cmd.OutOrStdout(), f)
				}
				return f.print(cmd.OutOrStdout())
			}
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
		return nil, fmt.Errorf("%s %s: %w in any run: it is what steps share, or its runs are of another store", step.Name, step.Key.Short(), store.ErrNotFound)
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

// failure is why a step has no result.
type failure struct {
	store.Use
	Args   json.RawMessage `json:"args,omitempty"` // what it was given; absent if that was very much
	Inputs []change        `json:"inputs"`         // the same in words
	Why    reason          `json:"why"`
}

// explainFailure finds the failed step that ref means. One that failed before done ran is
// of no interest any more.
func explainFailure(st *store.Store, ref string, done *explanation) (*failure, error) {
	u, err := st.LastFailure(ref)
	if err != nil {
		return nil, err
	}
	run, err := st.Run(u.Run)
	if err != nil {
		return nil, err
	}
	if done != nil {
		after, err := st.Run(done.Uses[len(done.Uses)-1].Run)
		if err != nil || !run.Started.After(after.Started) {
			return nil, errors.Join(err, store.ErrNotFound)
		}
	}
	x := &failure{Use: u}
	events, err := st.Events(u.Run, 0, 0)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if e.Kind == event.StepFail && e.Step == u.Key.String() {
			x.Args = e.Data
		}
	}
	if x.Args == nil {
		return x, nil
	}
	x.Inputs = changes(st, json.RawMessage("{}"), x.Args, false)
	past, err := st.Past(u.Name, 0, pastSteps)
	if err != nil {
		return nil, err
	}
	x.Why = nearest(st, wanted{notebook: run.Notebook, line: u.Line, args: x.Args}, past)
	return x, nil
}

func (x *failure) print(w io.Writer) error {
	fmt.Fprintf(w, "%s %s failed in run %s, line %d, after %s\n", x.Name, x.Key.Short(), x.Run, x.Line, event.Seconds(x.Seconds))
	for line := range strings.Lines(x.Failed) {
		fmt.Fprintln(w, "  "+strings.TrimRight(line, "\n"))
	}
	if x.Why.Since != nil {
		fmt.Fprintln(w, "what is other than in the nearest one that was done:")
		for _, line := range x.Why.lines() {
			fmt.Fprintln(w, "  "+line)
		}
	}
	if len(x.Inputs) > 0 {
		fmt.Fprintln(w, "its arguments:")
	}
	for _, c := range x.Inputs {
		fmt.Fprintf(w, "  %s = %s\n", c.Arg, c.New)
	}
	return nil
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
