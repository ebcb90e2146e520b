package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// runPage is what the page of one run shows.
type runPage struct {
	*run
	Title    string
	Verdict  verdict
	Headline *figure
	Tiles    []tile
	Cells    []cellView
	Costs    []costRow
	Total    costs
	Lineage  *lineage
	Rerun    string
	Started  string
	Took     float64 // seconds
	Env      []fact
	DiffHTML html
}

// cellView is a cell with its outputs.
type cellView struct {
	cell
	ID      string
	Prose   html // of a Markdown cell
	Code    html
	Lines   int
	Outputs []html
	Seconds float64
}

// costRow is a step in the table of costs.
type costRow struct {
	use
	ID                         string
	TokensIn, TokensOut, Asked int64
	Spent                      float64 // dollars in this run
}

// run renders the page of one run.
func (b *builder) run(ref string) (page, error) {
	r, err := load(b.st, ref, true)
	if err != nil {
		return page{}, err
	}
	v := runPage{run: r, Title: r.title(), Verdict: r.verdict(), Tiles: r.tiles(), Total: r.costs(), Lineage: lineageOf(r), Rerun: rerun(r), Env: environment(r)}
	if c := r.comparisons(); len(c) > 0 {
		v.Headline = rateBars(c[len(c)-1])
	}
	v.Started = r.Started.UTC().Format("2006-01-02 15:04 UTC")
	if !r.Ended.IsZero() {
		v.Took = r.Ended.Sub(r.Started).Seconds()
	}
	for _, u := range r.Uses {
		v.Costs = append(v.Costs, costOf(u))
	}
	if v.Cells, err = b.cells(r); err != nil {
		return page{}, err
	}
	if r.Diff != "" {
		if v.DiffHTML, err = b.detail("patch", "The diff", patchLines(r.Diff)); err != nil {
			return page{}, err
		}
	}
	body, err := b.render("run", v)
	return page{Title: v.Title, Body: body}, err
}

// cells renders the notebook from top to bottom, each cell with what came out
// of it. What belongs to no cell stands in a last one.
func (b *builder) cells(r *run) ([]cellView, error) {
	views := make([]cellView, len(r.Cells)+1)
	for i, c := range r.Cells {
		v := &views[i]
		v.cell, v.ID = c, fmt.Sprintf("cell-%d", c.Number)
		if c.Markdown {
			_, rest := heading(c.Text)
			if err := b.prose(v, rest); err != nil {
				return nil, err
			}
			continue
		}
		v.Code, v.Lines = highlight(clipLines(c.Text)), strings.Count(c.Text, "\n")+1
		if strings.TrimSpace(c.Text) == "" {
			v.Code = ""
		}
	}
	views[len(r.Cells)].cell = cell{Title: "Outside of the cells"}
	if err := b.outputs(r, views); err != nil {
		return nil, err
	}
	var out []cellView
	for i, v := range views {
		if len(v.Outputs) > 0 || i < len(r.Cells) && (v.Prose != "" || v.Code != "") {
			out = append(out, v)
		}
	}
	return out, nil
}

// prose renders the text of a Markdown cell.
func (b *builder) prose(v *cellView, md string) (err error) {
	v.Prose, err = markdown(md)
	return err
}

// clipLines cuts code that no one would read on a page.
func clipLines(s string) string {
	lines := strings.Split(s, "\n")
	if len(lines) > 600 {
		lines = append(lines[:600], fmt.Sprintf("# … %d more lines", len(lines)-600))
	}
	for i, l := range lines {
		lines[i] = clip(l, 2000)
	}
	return strings.Join(lines, "\n")
}

// outputs walks through the events and puts each into the view of its cell;
// lines that were printed one after the other stand together.
func (b *builder) outputs(r *run, views []cellView) error {
	shown := map[string]bool{}
	prints := make([][]string, len(views))
	slot := func(cell, line int) int {
		if i := r.cellOf(cell, line); i >= 0 {
			return i
		}
		return len(views) - 1
	}
	add := func(i int, out html, err error) error {
		if err != nil {
			return err
		}
		if p := prints[i]; len(p) > 0 {
			prints[i] = nil
			text, err := b.detail("print", "What was printed", printed(p))
			if err != nil {
				return err
			}
			views[i].Outputs = append(views[i].Outputs, text)
		}
		if out != "" {
			views[i].Outputs = append(views[i].Outputs, out)
		}
		return nil
	}
	step := func(i int, u use) error {
		shown[u.Key.String()] = true
		views[i].Seconds += u.Seconds
		out, err := b.step(u)
		return add(i, out, err)
	}
	for _, e := range r.Events {
		i := slot(e.Cell, e.Line)
		var err error
		switch e.Kind {
		case event.Print:
			prints[i] = append(prints[i], e.Text)
		case event.StepStart, event.StepHit, event.StepDone, event.StepFail:
			if u, ok := r.find(e.Step); ok && !shown[e.Step] {
				err = step(slot(u.Cell, u.Line), u)
			}
		default:
			out, err2 := b.event(e)
			if out != "" || err2 != nil {
				err = add(i, out, err2)
			}
		}
		if err != nil {
			return err
		}
	}
	for _, u := range r.Uses {
		if !shown[u.Key.String()] {
			if err := step(slot(u.Cell, u.Line), u); err != nil {
				return err
			}
		}
	}
	for i := range views {
		if err := add(i, "", nil); err != nil {
			return err
		}
	}
	return nil
}

// printedView is text that a cell printed.
type printedView struct {
	Head, Rest string
	More       int // lines in Rest
	Left       int // lines that the page leaves out
}

// printed cuts what was printed: 40 lines shown, 1,000 on demand.
func printed(lines []string) printedView {
	all := strings.Split(strings.Join(lines, "\n"), "\n")
	var v printedView
	if len(all) > 1000 {
		v.Left, all = len(all)-1000, all[:1000]
	}
	for i, l := range all {
		all[i] = clip(l, 2000)
	}
	if len(all) > 48 {
		v.More, v.Rest, all = len(all)-40, strings.Join(all[40:], "\n"), all[:40]
	}
	v.Head = strings.Join(all, "\n")
	return v
}

// event renders what a script wanted in its report, or nothing for the others.
func (b *builder) event(e event.Event) (html, error) {
	switch e.Kind {
	case event.Note:
		text, err := markdown(e.Text)
		if err != nil {
			return "", err
		}
		return b.render("note", text)
	case event.Warn:
		return b.render("warning", e.Text)
	case event.Bar:
		return b.render("bar", e)
	case event.Table:
		var d event.TableData
		if json.Unmarshal(e.Data, &d) != nil {
			return b.render("unreadable", e)
		}
		return b.detail("tableout", "A table", scriptTable(d))
	case event.Plot:
		var d event.PlotData
		if json.Unmarshal(e.Data, &d) != nil {
			return b.render("unreadable", e)
		}
		if f := scriptPlot(d); f != nil {
			return b.detail("plotout", "A plot", f)
		}
		return b.render("warning", "The plot “"+d.Title+"” has no points.")
	case event.Compare:
		var d event.CompareData
		if json.Unmarshal(e.Data, &d) != nil {
			return b.render("unreadable", e)
		}
		c, err := comparisonOf(b.st, d)
		if err != nil {
			return "", fmt.Errorf("reports: %w", err)
		}
		return b.detail("comparison", "The comparison", c)
	}
	return "", nil
}

// stepView is a step's line and what it made.
type stepView struct {
	use
	ID, Short string
	Facts     []fact
	Args      string
	Saved     float64 // seconds
	Inside    html
}

// stepID is the anchor of a step in the page.
func stepID(key cas.Digest) string { return "step-" + key.String()[:12] }

// step renders a step.
func (b *builder) step(u use) (html, error) {
	v := stepView{use: u, ID: stepID(u.Key), Short: u.Key.Short(), Facts: u.facts(), Args: arguments(u.Step)}
	v.Saved = max(0, u.Step.Seconds-u.Seconds)
	t, err := trainingOf(b.st, u)
	if err != nil {
		return "", fmt.Errorf("reports: %w", err)
	}
	if t != nil {
		if v.Inside, err = b.detail("training", "The curves", t); err != nil {
			return "", err
		}
	}
	if s, ok := u.scored(); ok {
		e, err := evaluationOf(b.st, u, s)
		if err != nil {
			return "", fmt.Errorf("reports: %w", err)
		}
		if v.Inside, err = b.detail("evaluation", "The samples", e); err != nil {
			return "", err
		}
	}
	return b.render("step", v)
}

// arguments writes a step's canonical arguments, one on each line.
func arguments(s store.Step) string {
	var out bytes.Buffer
	if len(s.Args) == 0 || json.Indent(&out, s.Args, "", "  ") != nil {
		return ""
	}
	return clip(out.String(), 6000)
}

// costOf returns the row of a step in the table of costs.
func costOf(u use) costRow {
	row := costRow{use: u, ID: stepID(u.Key)}
	var s struct {
		Asked        float64 `json:"asked"`
		InputTokens  float64 `json:"input_tokens"`
		OutputTokens float64 `json:"output_tokens"`
	}
	if u.Done && json.Unmarshal(u.Step.Summary, &s) == nil {
		row.Asked, row.TokensIn, row.TokensOut = int64(s.Asked), int64(s.InputTokens), int64(s.OutputTokens)
	}
	if !u.Hit {
		row.Spent = u.Step.CostUSD
	}
	return row
}
