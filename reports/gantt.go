package reports

import (
	"cmp"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"starbook/runtime/event"
)

// gantt shows when each run was at which step: a row for each run, a bar for each step
// that it computed, hatched where it found the step done or waited for another run to do it.
type gantt struct {
	Rows  []ganttRow
	Names []string // of steps with an ink of their own, by time spent
	unit  string   // of the axis
	scale float64  // seconds in a unit
	note  string
}

type ganttRow struct {
	Label string
	Bars  []ganttBar
}

// ganttBar is a stretch of time, in seconds since the first run began.
type ganttBar struct {
	Name     string
	From, To float64
	State    string // run, hit, failed, cut, unfinished
}

const (
	ganttRuns  = 40
	ganttNames = 5
	ganttRow1  = 17.0 // height of a row in units of the viewBox
	ganttTable = 120  // rows of numbers
)

// ganttOf draws the first runs, in the order in which they began; nil if no time passed.
func ganttOf(rows []boardRow) *figure {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b boardRow) int { return a.Started.Compare(b.Started) })
	g := gantt{note: "Hatched: found done, or waited for while another run did it."}
	if left := len(rows) - ganttRuns; left > 0 {
		g.note += " The first " + count(ganttRuns) + " runs; " + count(int64(left)) + " more are in the store."
		rows = rows[:ganttRuns]
	}
	if slices.ContainsFunc(rows, func(r boardRow) bool { return r.Pruned != "" }) {
		g.note += " ⊣: cut when its trial was pruned."
	}
	end, spent := 0.0, map[string]float64{}
	for _, r := range rows {
		row := ganttRow{Label: r.name(), Bars: stretches(r.run, rows[0].Started)}
		for _, b := range row.Bars {
			end = max(end, b.To)
			if b.State != "hit" {
				spent[b.Name] += b.To - b.From
			}
		}
		g.Rows = append(g.Rows, row)
	}
	if end < 0.05 {
		return nil
	}
	for name := range spent {
		g.Names = append(g.Names, name)
	}
	slices.SortFunc(g.Names, func(a, b string) int { return cmp.Or(cmp.Compare(spent[b], spent[a]), cmp.Compare(a, b)) })
	g.Names = g.Names[:min(len(g.Names), ganttNames)]
	g.unit, g.scale = "seconds", 1
	switch {
	case end > 3*3600:
		g.unit, g.scale = "hours", 3600
	case end > 300:
		g.unit, g.scale = "minutes", 60
	}
	return g.figure(end)
}

// stretches reads the bars of a run off its events. A hit takes from the end of the step
// before until it was found: no time, unless another run was at it.
func stretches(r *run, zero time.Time) []ganttBar {
	at := func(t time.Time) float64 { return max(0, t.Sub(zero).Seconds()) }
	begun, names := map[string]float64{}, map[string]string{}
	last, open := at(r.Started), []string(nil)
	var out []ganttBar
	for _, e := range r.Events {
		now := at(e.Time)
		switch e.Kind {
		case event.StepStart:
			begun[e.Step], names[e.Step] = now, e.Name
			open = append(open, e.Step)
			continue
		case event.StepHit:
			if n := len(out); n > 0 && out[n-1].State == "hit" {
				out[n-1].To, out[n-1].Name = now, out[n-1].Name+", "+e.Name // one hatching for all
			} else {
				out = append(out, ganttBar{e.Name, last, now, "hit"})
			}
		case event.StepDone, event.StepFail, event.StepCut:
			state := map[event.Kind]string{event.StepDone: "run", event.StepFail: "failed", event.StepCut: "cut"}[e.Kind]
			from, ok := begun[e.Step]
			if !ok {
				from = max(0, now-e.Value)
			}
			out = append(out, ganttBar{e.Name, from, now, state})
			open = slices.DeleteFunc(open, func(key string) bool { return key == e.Step })
		default:
			continue
		}
		last = max(last, now)
	}
	if !r.Ended.IsZero() {
		last = max(last, at(r.Ended))
	}
	for _, key := range open {
		out = append(out, ganttBar{names[key], begun[key], max(last, begun[key]), "unfinished"})
	}
	return out
}

func (g gantt) figure(end float64) *figure {
	p := themed(g.unit+" since the first run began", "")
	room := vg.Length(0)
	for _, row := range g.Rows {
		room = max(room, label(inkText).Width(row.Label)+9)
	}
	p.HideY()
	p.X.Min, p.X.Max = 0, end/g.scale
	p.Y.Min, p.Y.Max = 0, ganttRow1*float64(len(g.Rows))
	p.Add(verticals(), g)
	cv := newCanvas(chartWidth, p.Y.Max+38)
	p.Draw(draw.Crop(draw.New(cv), room, -12, 0, 0))
	f := &figure{Title: "When each run was at which step", SVG: cv.svg("chart", "When each run was at which step"), Note: g.note, Table: g.table()}
	for i, name := range g.Names {
		f.Keys = append(f.Keys, legendKey{Name: name, Ink: series(i), Bar: true})
	}
	return f
}

// Plot implements plot.Plotter.
func (g gantt) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	for i, row := range g.Rows {
		top := ty(p.Y.Max - ganttRow1*float64(i))
		y0, y1 := top-ganttRow1+3, top-3
		write(c, inkText, draw.XRight, c.Min.X-8, (y0+y1)/2, row.Label)
		for _, b := range row.Bars {
			x0, x1 := tx(b.From/g.scale), tx(b.To/g.scale)
			x1 = max(x1, x0+1.5) // a hit of a millisecond is to be seen
			g.bar(c, b, x0, x1, y0, y1)
		}
	}
}

// bar draws what happened between x0 and x1.
func (g gantt) bar(c draw.Canvas, b ganttBar, x0, x1, y0, y1 vg.Length) {
	tone := ink("c8")
	if i := slices.Index(g.Names, b.Name); i >= 0 {
		tone = series(i)
	}
	box := []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}, {X: x0, Y: y0}}
	switch b.State {
	case "run", "cut":
		c.FillPolygon(tone+" bar", box[:4])
	case "hit":
		hatch(c, x0, x1, y0, y1)
	default:
		c.StrokeLines(draw.LineStyle{Color: tone, Width: 1, Dashes: dashes["dotted"]}, box)
	}
	switch b.State {
	case "failed":
		write(c, ink("c2"), draw.XCenter, x1, (y0+y1)/2, "✗")
	case "cut":
		write(c, inkText, draw.XCenter, x1+4, (y0+y1)/2, "⊣")
	}
}

// hatch fills a box with slanted lines.
func hatch(c draw.Canvas, x0, x1, y0, y1 vg.Length) {
	const apart = 4
	var path vg.Path
	for s := x0 - (y1 - y0); s < x1; s += apart {
		from, to := max(s, x0), min(s+(y1-y0), x1)
		if from < to {
			path.Move(vg.Point{X: from, Y: y0 + from - s})
			path.Line(vg.Point{X: to, Y: y0 + to - s})
		}
	}
	c.SetLineStyle(draw.LineStyle{Color: inkMuted, Width: 0.8})
	c.Stroke(path)
}

func (g gantt) table() table {
	t := table{Columns: []string{"run", "step", "", "from (s)", "to (s)"}, Num: []bool{false, false, false, true, true}}
	for _, row := range g.Rows {
		for _, b := range row.Bars {
			if len(t.Rows) == ganttTable {
				t.Note = "The first " + count(ganttTable) + " stretches."
				return t
			}
			t.Rows = append(t.Rows, []string{row.Label, clip(b.Name, 60), b.State, number(b.From), number(b.To)})
		}
	}
	return t
}
