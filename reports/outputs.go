package reports

import (
	"fmt"
	"strings"

	"starbook/runtime/event"
)

// cells renders the notebook from top to bottom, each cell with what came out
// of it. What belongs to no cell stands in a last one.
func (b *builder) cells(r *run) ([]cellView, error) {
	views := make([]cellView, len(r.Cells)+1)
	for i, c := range r.Cells {
		v := &views[i]
		v.Cell, v.ID = c, fmt.Sprintf("cell-%d", c.Number)
		if err := b.source(v); err != nil {
			return nil, err
		}
	}
	views[len(r.Cells)].Title = "Outside of the cells"
	if err := b.outputs(r, views); err != nil {
		return nil, err
	}
	var out []cellView
	for _, v := range views {
		if len(v.Outputs) > 0 || v.Source != "" {
			out = append(out, v)
		}
	}
	return out, nil
}

// codeView is the code of a cell.
type codeView struct {
	HTML  html
	Lines int
}

// source renders what is written in a cell.
func (b *builder) source(v *cellView) error {
	if !v.Markdown {
		if strings.TrimSpace(v.Text) == "" {
			return nil
		}
		var err error
		v.Source, err = b.detail("code", "The code of this cell", codeView{highlight(clipLines(v.Text)), strings.Count(v.Text, "\n") + 1})
		return err
	}
	_, rest := heading(v.Text)
	text, err := markdown(rest)
	if err != nil {
		return err
	}
	v.Source, err = b.detail("prose", "The text of this cell", text)
	return err
}

// clipLines cuts code that no one would read on a page.
func clipLines(s string) string {
	lines := strings.Split(s, "\n")
	if len(lines) > 600 {
		lines = append(lines[:600], fmt.Sprintf("# … %d more lines", len(lines)-600))
	}
	for i, l := range lines {
		lines[i] = clip(l, 400)
	}
	return strings.Join(lines, "\n")
}

// output is something that came out of a cell.
type output struct {
	cell   int // index of its view
	step   bool
	lines  []string // of a print
	render func() (html, error)
	html   html
}

// outputs puts what happened in the run into the views of its cells. Where the
// page has no room for all, what the script said comes before the steps.
func (b *builder) outputs(r *run, views []cellView) error {
	all := b.collect(r, views)
	dropped := make([]int, len(views))
	for _, steps := range []bool{false, true} {
		for _, o := range all {
			if o.step != steps {
				continue
			}
			out, err := o.render()
			if err != nil {
				return err
			}
			if len(out) > b.left {
				dropped[o.cell]++
				continue
			}
			b.left -= len(out)
			o.html = out
		}
	}
	for _, o := range all {
		if o.html != "" {
			views[o.cell].Outputs = append(views[o.cell].Outputs, o.html)
		}
	}
	for i, n := range dropped {
		if n == 0 {
			continue
		}
		line, err := b.render("leftout", plural(int64(n), "more output"))
		if err != nil {
			return err
		}
		views[i].Outputs = append(views[i].Outputs, line)
	}
	return nil
}

// collect lists the outputs of a run in order. A step stands where it was first
// heard of; lines that a cell printed one after the other are one output.
func (b *builder) collect(r *run, views []cellView) []*output {
	var all []*output
	last, shown := make([]*output, len(views)), map[string]bool{}
	add := func(o *output) {
		all, last[o.cell] = append(all, o), o
	}
	slot := func(cell, line int) int {
		if i := r.cellOf(cell, line); i >= 0 {
			return i
		}
		return len(views) - 1
	}
	step := func(u use) {
		shown[u.Key.String()] = true
		i := slot(u.Cell, u.Line)
		views[i].Seconds += u.Seconds
		add(&output{cell: i, step: true, render: func() (html, error) { return b.step(u) }})
	}
	for _, e := range r.Events {
		switch e.Kind {
		case event.Print:
			i := slot(e.Cell, e.Line)
			if o := last[i]; o != nil && o.lines != nil {
				o.lines = append(o.lines, e.Text)
				continue
			}
			o := &output{cell: i, lines: []string{e.Text}}
			o.render = func() (html, error) { return b.render("print", printed(o.lines)) }
			add(o)
		case event.StepStart, event.StepHit, event.StepDone, event.StepFail, event.StepCut:
			if u, ok := r.find(e.Step); ok && !shown[e.Step] {
				step(u)
			}
		case event.Note, event.Warn, event.Bar, event.Table, event.Plot, event.Sweep, event.Compare, event.Example:
			add(&output{cell: slot(e.Cell, e.Line), render: func() (html, error) { return b.event(e) }})
		}
	}
	for _, u := range r.Uses {
		if !shown[u.Key.String()] {
			step(u)
		}
	}
	return all
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
