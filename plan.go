package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"starbook/builtins"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

func (a *app) planCmd() *cobra.Command {
	var params, fresh []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan NOTEBOOK",
		Short: "Say what running a notebook would do, why, for how long and for how much; do nothing",
		Long: "Executes the notebook without doing steps. A step whose result is there is a hit; one that would run is compared with the\n" +
			"nearest earlier one. What needs the result of a step that is not there depends on it: it is a hit all the same if that\n" +
			"comes out as before. The plan ends where the script itself has to know such a result. Nothing is written.",
		Example: "  starbook plan scripts/quickstart.star -p lr=1e-3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := parseParams(params)
			if err != nil {
				return err
			}
			if err := checkFresh(fresh); err != nil {
				return err
			}
			p, err := a.plan(cmd.Context(), args[0], set, fresh)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), p)
			}
			return p.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringArrayVarP(&params, "param", "p", nil, "set a parameter: name=value (repeat for more)")
	cmd.Flags().StringSliceVar(&fresh, "fresh", nil, "as if these steps were to be done again: names such as lora.train, or all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// forecast is a plan with its reasons and prices.
type forecast struct {
	Notebook string       `json:"notebook"`
	Params   []change     `json:"params,omitempty"` // that differ from those of the run that Since names
	Since    string       `json:"since,omitempty"`  // the notebook's run begun last
	Steps    []plannedRow `json:"steps"`
	Ends     string       `json:"ends,omitempty"` // why it goes no further; "": it reaches the end
	EndsLine int          `json:"ends_line,omitempty"`
}

// plannedRow is one step of it.
type plannedRow struct {
	Name    string            `json:"name"`
	Cell    int               `json:"cell"`
	Line    int               `json:"line"`
	State   runtime.Foresight `json:"state"`
	Key     string            `json:"key,omitempty"`
	Saves   float64           `json:"saves_seconds,omitempty"` // of a hit
	SaveUSD float64           `json:"saves_usd,omitempty"`
	After   []int             `json:"after,omitempty"` // lines of the steps on which it depends
	Begun   string            `json:"begun,omitempty"` // what of its work is there
	Ready   bool              `json:"ready,omitempty"` // that is all of it
	Why     *reason           `json:"why,omitempty"`
	Expect  *expectation      `json:"expect,omitempty"` // nil of a hit, and where there is no history

	after string
}

// expectation is what the earlier steps nearest to a planned one took.
type expectation struct {
	N       int    `json:"n"`
	Seconds spread `json:"seconds"`
	USD     spread `json:"usd"`
	Bytes   spread `json:"bytes"` // of its artifact, whatever of it is there already
}

// spread is the middle of some numbers, and their ends.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// plan makes the forecast of a notebook.
func (a *app) plan(ctx context.Context, path string, params map[string]string, fresh []string) (_ *forecast, err error) {
	nb, err := runtime.ReadNotebook(path)
	if err != nil {
		return nil, err
	}
	st, closeStore, err := a.peek()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	host := &builtins.Host{Dir: filepath.Dir(path)}
	defer func() { err = errors.Join(err, host.Close()) }()
	r := &runtime.Run{Notebook: nb, Store: st, Params: params, Fresh: fresh}
	p, err := r.Plan(ctx, host.Foreseeing())
	if err != nil {
		return nil, err
	}
	return foretell(st, path, p)
}

// peek opens the store for reading; one that is not there yet is empty.
func (a *app) peek() (st *store.Store, closeStore func() error, err error) {
	if _, err := os.Stat(a.storeDir); err == nil {
		st, err := a.open(false)
		if err != nil {
			return nil, nil, err
		}
		return st, st.Close, nil
	}
	dir, err := os.MkdirTemp("", "starbook-")
	if err != nil {
		return nil, nil, err
	}
	if st, err = store.Open(dir); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return st, func() error { return errors.Join(st.Close(), os.RemoveAll(dir)) }, nil
}

// pastSteps is how many earlier steps of a name are looked at.
const pastSteps = 200

// foretell finds the reasons and the history.
func foretell(st *store.Store, path string, p *runtime.Plan) (*forecast, error) {
	f := &forecast{Notebook: path}
	if p.End != nil {
		f.Ends, f.EndsLine = p.End.Cause.Error(), p.End.Line
	}
	if err := f.compareParams(st, p); err != nil {
		return nil, err
	}
	met := map[string]bool{}
	for _, s := range p.Steps {
		if s.State == runtime.WillHit {
			met[s.Key.String()] = true
		}
	}
	for _, s := range p.Steps {
		row := plannedRow{Name: s.Name, Cell: s.Cell, Line: s.Line, State: s.State, Begun: s.Begun, Ready: s.Ready, after: runtime.Names(s.After)}
		for _, before := range s.After {
			row.After = append(row.After, before.Line)
		}
		if !s.Key.IsZero() {
			row.Key = s.Key.String()
		}
		if s.State == runtime.WillHit {
			row.Saves, row.SaveUSD = s.Done.Seconds, s.Done.CostUSD
			f.Steps = append(f.Steps, row)
			continue
		}
		past, err := st.Past(s.Name, 0, pastSteps)
		if err != nil {
			return nil, err
		}
		others := slices.DeleteFunc(slices.Clone(past), func(x store.Past) bool { return met[x.Key.String()] })
		why := nearest(st, wanted{
			notebook: path, version: s.Version, line: s.Line, args: s.Args, partial: s.Key.IsZero(), lines: s.ArgLines,
		}, others)
		if why.Since == nil && len(past) > 0 { // a further one beside those of before
			why.like = past
		}
		row.Why, row.Expect = &why, expect(st, why.like)
		if row.Ready && row.Expect != nil { // only its result is to be written
			row.Expect.Seconds, row.Expect.USD = spread{}, spread{}
		}
		f.Steps = append(f.Steps, row)
	}
	return f, nil
}

// compareParams finds the parameters that are other than in the notebook's last run.
func (f *forecast) compareParams(st *store.Store, p *runtime.Plan) error {
	runs, err := st.Runs(0)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(runs, func(r store.Run) bool { return r.Notebook == f.Notebook })
	if i < 0 {
		return nil
	}
	f.Since = runs[i].ID
	now, err := json.Marshal(p.Params)
	if err != nil {
		return err
	}
	was, is := paramMap(runs[i].Params), paramMap(now)
	for _, name := range keys(was, is) {
		if was[name] != is[name] {
			f.Params = append(f.Params, change{Arg: name, Old: was[name], New: is[name]})
		}
	}
	return nil
}

// expect sums up what steps took; nil if there are none.
func expect(st *store.Store, like []store.Past) *expectation {
	if len(like) == 0 {
		return nil
	}
	var seconds, usd, bytes []float64
	for _, p := range like[:min(len(like), 10)] { // the newest
		size := int64(0)
		for _, g := range append(slices.Clone(p.Refs), p.Output) {
			n, _ := st.Blobs.Size(g) // what has been collected takes no room
			size += n
		}
		seconds, usd, bytes = append(seconds, p.Seconds), append(usd, p.CostUSD), append(bytes, float64(size))
	}
	return &expectation{N: len(seconds), Seconds: spreadOf(seconds), USD: spreadOf(usd), Bytes: spreadOf(bytes)}
}

func spreadOf(list []float64) spread {
	slices.Sort(list)
	n := len(list)
	return spread{Median: (list[n/2] + list[(n-1)/2]) / 2, Min: list[0], Max: list[n-1]}
}

// String says 31s (28s to 40s, n = 3), $0.00, 1.2 MB.
func (e *expectation) String() string {
	if e == nil {
		return "time, dollars and disk unknown: no history"
	}
	text := event.Seconds(e.Seconds.Median)
	if e.N > 1 {
		text += fmt.Sprintf(" (%s to %s, n = %d)", event.Seconds(e.Seconds.Min), event.Seconds(e.Seconds.Max), e.N)
	} else {
		text += " (n = 1)"
	}
	text += fmt.Sprintf(", $%.2f", e.USD.Median)
	if e.USD.Max > e.USD.Min {
		text += fmt.Sprintf(" ($%.2f to $%.2f)", e.USD.Min, e.USD.Max)
	}
	return text + ", " + megabytes(e.Bytes.Median)
}

func megabytes(n float64) string { return fmt.Sprintf("%.1f MB", n/1e6) }

func (f *forecast) print(w io.Writer) error {
	for _, c := range f.Params {
		fmt.Fprintf(w, "param %s, since run %s\n", c, f.Since)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var surely, perhaps expectation
	count, blind := map[runtime.Foresight]int{}, 0
	saved := 0.0
	for _, s := range f.Steps {
		count[s.State]++
		fmt.Fprintf(t, "%s\t%s\tline %d\t", s.State, s.Name, s.Line)
		if s.State == runtime.WillHit {
			saved += s.Saves
			fmt.Fprintf(t, "saves %s\n", event.Seconds(s.Saves))
			continue
		}
		switch {
		case s.Ready:
			fmt.Fprintf(t, "about a second: %s\n", s.Begun)
		case s.Begun != "":
			fmt.Fprintf(t, "%s at most: %s\n", s.Expect, s.Begun)
		default:
			fmt.Fprintf(t, "%s\n", s.Expect)
		}
		if s.after != "" {
			fmt.Fprintf(t, "\t  depends on %s\n", s.after)
		}
		for _, line := range s.Why.lines() {
			fmt.Fprintf(t, "\t  %s\n", line)
		}
		switch {
		case s.Expect == nil:
			blind++
		case s.State == runtime.WillRun:
			surely.add(s.Expect)
		default:
			perhaps.add(s.Expect)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d hits (saved %s), %d to run: %s", count[runtime.WillHit], event.Seconds(saved), count[runtime.WillRun], surely.total())
	if n := count[runtime.Depends]; n > 0 {
		fmt.Fprintf(w, "; %d that depend on them: up to %s", n, perhaps.total())
	}
	if blind > 0 {
		fmt.Fprintf(w, "; %d of all without a history", blind)
	}
	fmt.Fprintln(w)
	if f.Ends != "" {
		fmt.Fprintf(w, "line %d: %s\n", f.EndsLine, f.Ends)
	}
	return nil
}

// add adds up medians.
func (e *expectation) add(o *expectation) {
	e.Seconds.Median += o.Seconds.Median
	e.USD.Median += o.USD.Median
	e.Bytes.Median += o.Bytes.Median
}

func (e *expectation) total() string {
	return strings.Join([]string{
		"about " + event.Seconds(e.Seconds.Median), fmt.Sprintf("$%.2f", e.USD.Median), megabytes(e.Bytes.Median),
	}, ", ")
}
