package reports

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"starbook/runtime/event"
)

// forest is a plot of differences with their intervals, one below the other,
// beside a line at zero.
type forest struct {
	Title string
	Rows  []forestRow
	Note  string
}

// forestRow is a difference of rates in fractions of 1.
type forestRow struct {
	Label         string
	Diff, Low, Hi float64
	N             int
	Whole         bool // the sum of the others
}

const forestThick = 22.0

// svg draws the forest; ok is false if it has no rows.
func (f forest) svg() (cv *canvas, ok bool) {
	if len(f.Rows) == 0 {
		return nil, false
	}
	p := themed("change of the pass rate, percentage points", "")
	reach, room := 0.01, vg.Length(0)
	for _, r := range f.Rows {
		for _, x := range []float64{r.Diff, r.Low, r.Hi} {
			if finite(x) {
				reach = max(reach, math.Abs(x))
			}
		}
		room = max(room, label(inkText).Width(r.name())+9)
	}
	p.HideY()
	p.X.Min, p.X.Max = -100*reach*1.05, 100*reach*1.05
	p.Y.Min, p.Y.Max = 0, forestThick*float64(len(f.Rows))
	p.Add(verticals(), f)
	cv = newCanvas(chartWidth, p.Y.Max+36)
	p.Draw(draw.Crop(draw.New(cv), room, -noteRoom, 0, 0))
	return cv, true
}

// name returns the row's label, cut to what leaves room.
func (r forestRow) name() string { return clip(r.Label, 28) }

// Plot implements plot.Plotter.
func (f forest) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	c.StrokeLine2(draw.LineStyle{Color: inkText, Width: 1}, tx(0), ty(p.Y.Min), tx(0), ty(p.Y.Max))
	for i, r := range f.Rows {
		y := ty(p.Y.Max - forestThick*(float64(i)+0.5))
		write(c, inkText, draw.XRight, c.Min.X-8, y, r.name())
		if !finite(r.Diff) {
			continue
		}
		tone := ink("c8")
		if r.Low > 0 || r.Hi < 0 {
			tone = "c1"
		}
		lo, hi, at := tx(100*r.Low), tx(100*r.Hi), tx(100*r.Diff)
		pen := draw.LineStyle{Color: tone, Width: 1.6}
		c.StrokeLine2(pen, lo, y, hi, y)
		c.StrokeLine2(pen, lo, y-3, lo, y+3)
		c.StrokeLine2(pen, hi, y-3, hi, y+3)
		half := vg.Length(3.4)
		if r.Whole {
			half = 5
		}
		c.FillPolygon(tone, []vg.Point{{X: at - half, Y: y}, {X: at, Y: y + half}, {X: at + half, Y: y}, {X: at, Y: y - half}})
		write(c, inkText, draw.XRight, c.Max.X+56, y, signed(r.Diff))
		write(c, inkMuted, draw.XLeft, c.Max.X+64, y, "n"+nb+count(int64(r.N)))
	}
}

// figure returns the forest with its numbers, nil without rows.
func (f forest) figure() *figure {
	cv, ok := f.svg()
	if !ok {
		return nil
	}
	fig := &figure{Title: f.Title, SVG: cv.svg("chart", f.Title), Note: f.Note}
	fig.Table = table{Columns: []string{"", "change", "low", "high", "n"}, Num: []bool{false, true, true, true, true}}
	for _, r := range f.Rows {
		fig.Table.Rows = append(fig.Table.Rows, []string{r.Label, signed(r.Diff), signed(r.Low), signed(r.Hi), count(int64(r.N))})
	}
	return fig
}

// changeForest draws the change of the whole and of each category.
func changeForest(d event.CompareData) *figure {
	f := forest{Title: "Change of the pass rate", Note: "Whiskers: 95" + nb + "% intervals; grey where they hold zero."}
	f.Rows = append(f.Rows, forestRow{Label: "all", Diff: d.Diff, Low: d.DiffLow, Hi: d.DiffHigh, N: d.Items, Whole: true})
	for _, g := range d.Groups[:min(len(d.Groups), shownGroups)] {
		diff, low, high := pairedInterval(g.Items, g.Broken, g.Fixed)
		f.Rows = append(f.Rows, forestRow{Label: groupLabel(g.Name), Diff: diff, Low: low, Hi: high, N: g.Items})
	}
	return f.figure()
}

// pairedInterval is the 95 % interval of a difference of paired rates, by Agresti
// and Min's adjustment (Statistics in Medicine 24, 2005): half an item more in
// each of the four cells.
func pairedInterval(n, broken, fixed int) (diff, low, high float64) {
	if n == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	const z = 1.959963984540054
	m, b, c := float64(n)+2, float64(broken)+0.5, float64(fixed)+0.5
	mid := (c - b) / m
	half := z * math.Sqrt((b+c)-(c-b)*(c-b)/m) / m
	return float64(fixed-broken) / float64(n), max(-1, mid-half), min(1, mid+half)
}
