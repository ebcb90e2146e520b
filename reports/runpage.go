package reports

import (
	"bytes"
	"encoding/json"
	"fmt"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/notebook"
	"starbook/runtime/store"
)

// runPage is what the page of one run shows.
type runPage struct {
	*run
	Title     string
	Verdict   verdict
	Headline  *figure
	Tiles     []tile
	Cells     []cellView
	Costs     []costRow
	MoreCosts int // steps that the table leaves out
	Total     costs
	Lineage   *lineage
	Rerun     string
	Started   string
	Took      float64 // seconds
	Env       []fact
	DiffHTML  html
	Trials    *trials
}

// cellView is a cell with its outputs.
type cellView struct {
	notebook.Cell
	ID      string
	Source  html // what is written in it
	Outputs []html
	Seconds float64
}

// costRows is how many steps the table of costs lists.
const costRows = 300

// costRow is a step in the table of costs.
type costRow struct {
	use
	ID                         string
	TokensIn, TokensOut, Asked int64
	Spent                      float64 // dollars in this run
}

// run renders the page of one run.
func (b *builder) run(ref string) (Page, error) {
	r, err := load(b.st, ref)
	if err != nil {
		return Page{}, err
	}
	v := runPage{run: r, Title: r.title(), Verdict: r.verdict(), Tiles: r.tiles(), Total: r.costs(), Lineage: lineageOf(r), Rerun: rerun(r), Env: environment(r)}
	if c := r.comparisons(); len(c) > 0 {
		v.Headline = rateBars(c[len(c)-1])
	}
	v.Started = r.Started.UTC().Format("2006-01-02 15:04 UTC")
	if !r.Ended.IsZero() {
		v.Took = r.Ended.Sub(r.Started).Seconds()
	}
	for _, u := range r.Uses[:min(len(r.Uses), costRows)] {
		v.Costs = append(v.Costs, costOf(u))
	}
	v.MoreCosts = len(r.Uses) - len(v.Costs)
	if v.Cells, err = b.cells(r); err != nil {
		return Page{}, err
	}
	if r.Diff != "" {
		if v.DiffHTML, err = b.detail("patch", "The diff", patchLines(r.Diff)); err != nil {
			return Page{}, err
		}
	}
	if v.Trials, err = b.trialsOf(r); err != nil {
		return Page{}, err
	}
	body, err := b.render("run", v)
	return Page{Title: v.Title, Body: body}, err
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
		return b.render("tableout", scriptTable(d))
	case event.Plot:
		var d event.PlotData
		if json.Unmarshal(e.Data, &d) != nil {
			return b.render("unreadable", e)
		}
		if f := scriptPlot(d); f != nil {
			return b.render("plotout", f)
		}
		return b.render("warning", "The plot “"+d.Title+"” has no points.")
	case event.Sweep:
		var d event.SweepData
		if json.Unmarshal(e.Data, &d) != nil || d.Objective == "" {
			return b.render("unreadable", e)
		}
		return b.render("sweep", sweepOf(d))
	case event.Example:
		var d event.ExampleData
		if json.Unmarshal(e.Data, &d) != nil {
			return b.render("unreadable", e)
		}
		return b.render("example", d)
	case event.Compare:
		var d event.CompareData
		if json.Unmarshal(e.Data, &d) != nil {
			return b.render("unreadable", e)
		}
		c, err := comparisonOf(b.st, d)
		if err != nil {
			return "", fmt.Errorf("reports: %w", err)
		}
		return b.render("comparison", c)
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
func (b *builder) step(u use) (out html, err error) {
	v := stepView{use: u, ID: stepID(u.Key), Short: u.Key.Short(), Facts: u.facts(), Args: arguments(u.Step)}
	v.Saved = max(0, u.Step.Seconds-u.Seconds)
	if v.Inside, err = b.inside(u); err != nil {
		return "", fmt.Errorf("reports: %w", err)
	}
	if len(v.Inside)+len(v.Args)+4096 > b.left { // then the line alone
		v.Args, v.Inside = "", ""
	}
	return b.render("step", v)
}

// inside renders the curves of a training, the samples of an evaluation.
func (b *builder) inside(u use) (html, error) {
	if s, ok := u.scored(); ok {
		e, err := evaluationOf(b.st, u, s)
		if err != nil {
			return "", err
		}
		return b.render("evaluation", e)
	}
	t, err := trainingOf(b.st, u)
	if err != nil || t == nil {
		return "", err
	}
	return b.render("training", t)
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
