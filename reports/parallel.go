package reports

import (
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"starbook/runtime/event"
)

// parallel draws each trial as a line through an axis for each setting and one for the
// objective (parallel coordinates, Inselberg 1985).
type parallel struct {
	axes   []axis
	trials []sweepTrial // best first
}

// axis places the values of a setting between 0, at the bottom, and 1.
type axis struct {
	name  string
	of    int // the setting; -1: the objective
	marks []mark
	place func(sweepTrial) float64
}

// mark is a label on an axis.
type mark struct {
	at   float64
	text string
}

const (
	parallelAxes   = 6   // settings
	parallelTrials = 200 // lines
	parallelBold   = 5   // of the best
	parallelHigh   = 190.0
)

// parallelOf draws a sweep of enough trials over several settings, else nil.
func parallelOf(d event.SweepData, done []sweepTrial, rates bool) *figure {
	if len(done) < fewForShare || len(d.Names) < 2 {
		return nil
	}
	p := parallel{trials: slices.Clone(done)}
	slices.SortStableFunc(p.trials, func(a, b sweepTrial) int { return order(d, a.value, b.value) })
	for k, name := range d.Names {
		if len(p.axes) < parallelAxes && len(distinct(done, k)) > 1 {
			p.axes = append(p.axes, settingAxis(name, k, done))
		}
	}
	if len(p.axes) < 2 {
		return nil
	}
	p.axes = append(p.axes, objectiveAxis(d, p.trials, rates))
	f := &figure{
		Title: "Each trial as a line through its settings", SVG: p.draw().svg("chart", "Parallel coordinates of the trials"),
		Keys: []legendKey{{Name: "the best " + count(parallelBold), Ink: "c1"}, {Name: "the others", Ink: "c8"}}, Table: p.table(rates),
	}
	if left := len(done) - parallelTrials; left > 0 {
		f.Note = "The best " + count(parallelTrials) + " of " + count(int64(len(done))) + " trials."
	}
	return f
}

// settingAxis spreads numbers by size, on a logarithmic scale if they span more than a
// decade, and words evenly.
func settingAxis(name string, k int, done []sweepTrial) axis {
	var xs []float64
	for _, t := range done {
		if x, ok := t.Values[k].(float64); ok && finite(x) {
			xs = append(xs, x)
		}
	}
	if len(xs) < len(done) {
		words := distinct(done, k)
		a := axis{name: name, of: k, place: func(t sweepTrial) float64 {
			return float64(slices.Index(words, t.words[k])) / float64(max(1, len(words)-1))
		}}
		for i, w := range words {
			if len(words) <= 8 || i == 0 || i == len(words)-1 {
				a.marks = append(a.marks, mark{float64(i) / float64(max(1, len(words)-1)), clip(w, 12)})
			}
		}
		return a
	}
	scale := func(x float64) float64 { return x }
	if wideAxis(xs) {
		scale = math.Log
	}
	lo, hi := slices.Min(xs), slices.Max(xs)
	at := func(x float64) float64 { return (scale(x) - scale(lo)) / (scale(hi) - scale(lo)) }
	a := axis{name: name, of: k, place: func(t sweepTrial) float64 { return at(t.Values[k].(float64)) }}
	words := distinct(done, k)
	for i, w := range words {
		x := value(w)
		if v, ok := x.(float64); ok && (len(words) <= 6 || i == 0 || i == len(words)-1) {
			a.marks = append(a.marks, mark{at(v), number(v)})
		}
	}
	return a
}

// objectiveAxis has the best value at the top.
func objectiveAxis(d event.SweepData, sorted []sweepTrial, rates bool) axis {
	best, worst := sorted[0].value, sorted[len(sorted)-1].value
	return axis{
		name: d.Objective, of: -1,
		place: func(t sweepTrial) float64 {
			if best == worst {
				return 0.5
			}
			return (t.value - worst) / (best - worst)
		},
		marks: []mark{{1, sweepText(best, rates)}, {0, sweepText(worst, rates)}},
	}
}

func (p parallel) draw() *canvas {
	const left, right, bottom, top = 34, 58, 14, 24
	cv := newCanvas(chartWidth, parallelHigh+bottom+top)
	c := draw.New(cv)
	x := func(i int) vg.Length {
		return left + vg.Length(i)*(chartWidth-left-right)/vg.Length(len(p.axes)-1)
	}
	y := func(part float64) vg.Length { return bottom + vg.Length(part*parallelHigh) }
	lines := p.trials[:min(len(p.trials), parallelTrials)]
	for i, t := range slices.Backward(lines) { // the best on top
		pen := draw.LineStyle{Color: ink("c8 faint"), Width: 0.9}
		if i < parallelBold {
			pen = draw.LineStyle{Color: ink("c1"), Width: 1.8}
		}
		pts := make([]vg.Point, len(p.axes))
		for k, a := range p.axes {
			pts[k] = vg.Point{X: x(k), Y: y(a.place(t))}
		}
		c.StrokeLines(pen, pts)
	}
	for k, a := range p.axes {
		c.StrokeLine2(draw.LineStyle{Color: inkMuted, Width: 1}, x(k), y(0), x(k), y(1))
		align, to := draw.XLeft, x(k)+4
		if k == 0 {
			align, to = draw.XRight, x(k)-4
		}
		for _, m := range a.marks {
			write(c, inkText+" halo", align, to, y(m.at), m.text)
		}
		write(c, inkMuted, draw.XCenter, x(k), y(1)+14, clip(a.name, 14))
	}
	return cv
}

func (p parallel) table(rates bool) table {
	t := table{}
	for _, a := range p.axes {
		t.Columns = append(t.Columns, a.name)
		t.Num = append(t.Num, true)
	}
	for i, trial := range p.trials {
		if i == tableRows {
			t.Note = "The best " + count(tableRows) + "."
			break
		}
		var row []string
		for _, a := range p.axes[:len(p.axes)-1] {
			row = append(row, trial.words[a.of])
		}
		t.Rows = append(t.Rows, append(row, sweepText(trial.value, rates)))
	}
	return t
}
