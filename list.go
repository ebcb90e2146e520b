package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"starbook/reports"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

func (a *app) lsCmd() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use: "ls", Short: "List the runs, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			runs, err := st.Runs(limit)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), runs)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "RUN\tSTATUS\tSTARTED\tTOOK\tNOTEBOOK\tTAGS\tPARAMS")
			for _, r := range runs {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Status, when(r.Started), took(r), r.Notebook, strings.Join(r.Tags, " "), changedParams(r.Params))
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many runs to list; 0: all")
	return cmd
}

// shown is what `show` prints of a run.
type shown struct {
	store.Run
	Value *float64     `json:"value,omitempty"` // of what its sweep looks for
	Notes []store.Note `json:"notes,omitempty"`
	Steps []shownStep  `json:"steps"`
}

type shownStep struct {
	store.Use
	Kind    string          `json:"kind,omitempty"`
	Output  string          `json:"output,omitempty"`
	Summary json.RawMessage `json:"summary,omitempty"`
	CostUSD float64         `json:"cost_usd,omitempty"`
	Series  []store.Series  `json:"series,omitempty"`
}

func (a *app) showCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show [RUN]", Short: "Show a run: its parameters, steps and figures", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			s, err := load(st, append(args, "@latest")[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), s)
			}
			return s.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// load reads a run with its steps.
func load(st *store.Store, ref string) (shown, error) {
	r, err := st.Run(ref)
	if err != nil {
		return shown{}, err
	}
	uses, err := st.Uses(r.ID)
	if err != nil {
		return shown{}, err
	}
	s := shown{Run: r}
	if s.Notes, err = st.Notes(r.ID); err != nil {
		return shown{}, err
	}
	for _, u := range uses {
		row := shownStep{Use: u}
		if step, err := st.Step(u.Key); err == nil {
			row.Kind, row.Output, row.Summary, row.CostUSD = step.Kind, step.Output.String(), step.Summary, step.CostUSD
		}
		if row.Series, err = st.Series(u.Key); err != nil {
			return shown{}, err
		}
		s.Steps = append(s.Steps, row)
		if x, ok := r.Objective.Of(row.Name, row.Summary); ok && r.Status == store.Done {
			s.Value = &x
		}
	}
	return s, nil
}

func (s shown) print(w io.Writer) error {
	fmt.Fprintf(w, "run %s  %s  %s  started %s  took %s\n", s.ID, s.Notebook, s.Status, when(s.Started), took(s.Run))
	if s.Error != "" {
		fmt.Fprintln(w, s.Error)
	}
	if s.Pruned != "" {
		fmt.Fprintln(w, "pruned at "+s.Pruned)
	}
	if s.Sweep != "" {
		fmt.Fprintln(w, s.trial())
	}
	if len(s.Tags) > 0 {
		fmt.Fprintln(w, "tags: "+strings.Join(s.Tags, " "))
	}
	for _, n := range s.Notes {
		fmt.Fprintf(w, "note of %s: %s\n", when(n.Created), n.Text)
	}
	for _, p := range params(s.Params) {
		fmt.Fprintf(w, "  %s = %s%s\n", p.name, p.value, map[bool]string{true: "", false: "  (default " + p.def + ")"}[p.value == p.def])
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, u := range s.Steps {
		state := "run"
		switch {
		case u.Failed != "":
			state = "fail"
		case u.Hit:
			state = "hit"
		case u.Kind == "":
			state = "cut"
		}
		fmt.Fprintf(t, "%3d\t%s\t%s\t%s\t%s\t%s\n", u.Seq, u.Key.Short(), u.Name, state, event.Seconds(u.Seconds), u.Summary)
	}
	return t.Flush()
}

// trial says of which sweep the run is a trial, what that looks for, and what it came to.
func (s shown) trial() string {
	line := fmt.Sprintf("trial %d of sweep %s", s.Trial, s.Sweep)
	if s.Objective.Fact == "" {
		return line
	}
	line += ", to " + s.Objective.Direction() + " " + s.Objective.Fact
	if s.Value != nil {
		line += ": " + strconv.FormatFloat(*s.Value, 'g', 5, 64)
	}
	return line
}

func (a *app) diffCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "diff A B", Short: "Show what differs between two runs: parameters, code, steps, figures", Args: cobra.ExactArgs(2),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.open(false)
			if err != nil {
				return err
			}
			defer st.Close()
			d, err := compare(st, args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), d)
			}
			d.print(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// difference is what two runs do not share.
type difference struct {
	A      string      `json:"a"`
	B      string      `json:"b"`
	Params [][3]string `json:"params"` // name, in a, in b
	Code   []string    `json:"code"`   // lines with "- ", "+ " or "  " before them, "@ …" where some are left out
	Steps  [][3]string `json:"steps"`  // name, summary in a, summary in b
	Same   int         `json:"same_steps"`
}

func compare(st *store.Store, refA, refB string) (difference, error) {
	a, err := load(st, refA)
	if err != nil {
		return difference{}, err
	}
	b, err := load(st, refB)
	if err != nil {
		return difference{}, err
	}
	d := difference{A: a.ID, B: b.ID}
	pa, pb := paramMap(a.Params), paramMap(b.Params)
	for _, name := range keys(pa, pb) {
		if pa[name] != pb[name] {
			d.Params = append(d.Params, [3]string{name, pa[name], pb[name]})
		}
	}
	if a.Source != b.Source {
		srcA, err := st.Blobs.ReadAll(a.Source)
		if err != nil {
			return d, err
		}
		srcB, err := st.Blobs.ReadAll(b.Source)
		if err != nil {
			return d, err
		}
		for _, l := range reports.Diff(string(srcA), string(srcB)) {
			d.Code = append(d.Code, l.Sign()+" "+l.Text)
		}
	}
	d.steps(a.Steps, b.Steps)
	return d, nil
}

// steps pairs the steps of two runs by name and order of that name.
func (d *difference) steps(a, b []shownStep) {
	label := func(steps []shownStep) (map[string]shownStep, []string) {
		by, n, order := map[string]shownStep{}, map[string]int{}, []string{}
		for _, s := range steps {
			n[s.Name]++
			k := fmt.Sprintf("%s #%d", s.Name, n[s.Name])
			by[k] = s
			order = append(order, k)
		}
		return by, order
	}
	byA, order := label(a)
	byB, orderB := label(b)
	for _, k := range orderB {
		if _, ok := byA[k]; !ok {
			order = append(order, k)
		}
	}
	for _, k := range order {
		x, inA := byA[k]
		y, inB := byB[k]
		if inA && inB && x.Key == y.Key {
			d.Same++
			continue
		}
		d.Steps = append(d.Steps, [3]string{k, string(x.Summary), string(y.Summary)})
	}
}

func (d difference) print(w io.Writer) {
	fmt.Fprintf(w, "--- %s\n+++ %s\n", d.A, d.B)
	for _, p := range d.Params {
		fmt.Fprintf(w, "param %s: %s → %s\n", p[0], p[1], p[2])
	}
	for _, line := range d.Code {
		fmt.Fprintln(w, line)
	}
	for _, s := range d.Steps {
		fmt.Fprintf(w, "step %s\n  - %s\n  + %s\n", s[0], s[1], s[2])
	}
	fmt.Fprintf(w, "the same: %s\n", plural(d.Same, "step"))
}

// param is a parameter as a run recorded it.
type param struct{ name, value, def string }

func params(raw json.RawMessage) []param {
	var m map[string]struct{ Value, Default json.RawMessage }
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	var out []param
	for name, p := range m {
		out = append(out, param{name, string(p.Value), string(p.Default)})
	}
	slices.SortFunc(out, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return out
}

func paramMap(raw json.RawMessage) map[string]string {
	m := map[string]string{}
	for _, p := range params(raw) {
		m[p.name] = p.value
	}
	return m
}

// changedParams lists the parameters that differ from their defaults.
func changedParams(raw json.RawMessage) string {
	var parts []string
	for _, p := range params(raw) {
		if p.value != p.def {
			parts = append(parts, p.name+"="+p.value)
		}
	}
	return strings.Join(parts, " ")
}

// keys returns the keys of all maps, sorted, each once.
func keys[V any](maps ...map[string]V) []string {
	var out []string
	for _, m := range maps {
		for k := range m {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// plural writes "1 step", "2 steps".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func took(r store.Run) string {
	if r.Ended.IsZero() {
		return "-"
	}
	return event.Seconds(r.Ended.Sub(r.Started).Seconds())
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
