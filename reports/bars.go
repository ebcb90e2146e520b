package reports

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bars is a chart of horizontal bars, which leave room for names: a row for
// each category, in it a bar for each of the names.
type bars struct {
	Title string
	XLab  string
	Names []string // of the bars in a row
	Inks  []ink    // of the bars in a row; nil: c1, c2 …
	Rows  []barRow
	Max   float64 // end of the axis; 0: as far as the data go
	Rates bool    // values are fractions of 1, shown in percent
	Note  string
}

// barRow is one category.
type barRow struct {
	Label string
	Bars  []barValue
}

// barValue is one bar with its interval; Low and High may be NaN. Note stands
// behind the value.
type barValue struct {
	Value, Low, High float64
	Note             string
	Ink              ink // instead of the one of its place in the row
}

// Sizes in units of the viewBox.
const (
	barThick = 13.0
	rowGap   = 9.0
	noteRoom = 118.0 // right of the bars, for the values
)

// svg draws the bars; ok is false if there is none.
func (b bars) svg() (cv *canvas, ok bool) {
	if len(b.Rows) == 0 {
		return nil, false
	}
	p := themed(b.XLab, "")
	height, room, lo, hi := rowGap, vg.Length(0), 0.0, b.Max
	for _, row := range b.Rows {
		height += barThick*float64(len(row.Bars)) + rowGap
		room = max(room, label(inkText).Width(row.name())+9)
		for _, v := range row.Bars {
			for _, x := range []float64{v.Value, v.Low, v.High} {
				if finite(x) {
					lo, hi = min(lo, x), max(hi, x)
				}
			}
		}
	}
	if lo == hi {
		hi = 1
	}
	p.HideY()
	if b.Rates {
		p.X.Tick.Marker = percentTicks
	}
	p.Add(verticals(), b)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = lo, hi, 0, height
	axis := 20.0
	if b.XLab != "" {
		axis += 14
	}
	cv = newCanvas(chartWidth, height+axis)
	p.Draw(draw.Crop(draw.New(cv), room, -noteRoom, 0, 0))
	return cv, true
}

// name returns the row's label, cut to what leaves room for bars.
func (r barRow) name() string { return clip(r.Label, 28) }

// percentTicks are the quarters of the axis.
var percentTicks = plot.ConstantTicks{
	{Value: 0, Label: "0"},
	{Value: 0.25, Label: "25"},
	{Value: 0.5, Label: "50"},
	{Value: 0.75, Label: "75"},
	{Value: 1, Label: "100" + nb + "%"},
}

// verticals returns vertical hairlines.
func verticals() plot.Plotter {
	g := grid()
	g.Vertical, g.Horizontal.Width = g.Horizontal, 0
	return g
}

// Plot implements plot.Plotter.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	y := rowGap
	for i := range b.Rows {
		row := b.Rows[len(b.Rows)-1-i] // gonum counts from below
		write(c, inkText, draw.XRight, c.Min.X-8, ty(y+barThick*float64(len(row.Bars))/2), row.name())
		for j := range row.Bars {
			k := len(row.Bars) - 1 - j
			b.bar(c, tx, ty(y), ty(y+barThick-1.5), row.Bars[k], k)
			y += barThick
		}
		y += rowGap
	}
}

// bar draws the k-th bar of a row between y0 and y1, with its whisker and value.
func (b bars) bar(c draw.Canvas, tx func(float64) vg.Length, y0, y1 vg.Length, v barValue, k int) {
	if !finite(v.Value) {
		return
	}
	x0, x1, mid := tx(max(0, min(v.Value, 0))), tx(v.Value), (y0+y1)/2
	tone := v.Ink
	if tone == "" {
		tone = b.ink(k)
	}
	c.FillPolygon(tone+" bar", []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
	if finite(v.Low) && finite(v.High) {
		pen := draw.LineStyle{Color: inkText, Width: 1.2}
		lo, hi := tx(v.Low), tx(v.High)
		c.StrokeLine2(pen, lo, mid, hi, mid)
		c.StrokeLine2(pen, lo, mid-3, lo, mid+3)
		c.StrokeLine2(pen, hi, mid-3, hi, mid+3)
	}
	write(c, inkText, draw.XRight, c.Max.X+56, mid, b.text(v.Value))
	if v.Note != "" {
		write(c, inkMuted, draw.XLeft, c.Max.X+64, mid, v.Note)
	}
}

// write puts a word beside x, its middle at y: gonum would centre the line,
// descenders and all, and not the letters.
func write(c draw.Canvas, i ink, align text.XAlignment, x, y vg.Length, word string) {
	sty := label(i)
	c.SetColor(i)
	c.FillString(plot.DefaultTextHandler.Cache().Lookup(sty.Font, sty.Font.Size), vg.Point{X: x + vg.Length(align)*sty.Width(word), Y: y - 0.36*fontSize}, word)
}

// ink returns the colour of the k-th bar of each row.
func (b bars) ink(k int) ink {
	if k < len(b.Inks) {
		return b.Inks[k]
	}
	return series(k)
}

// text writes a value of the bars.
func (b bars) text(v float64) string {
	if b.Rates {
		return percent(v)
	}
	return number(v)
}

// clip cuts a name to n characters.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// rateValue returns the bar of a pass rate with its interval.
func rateValue(passed, n int) barValue {
	low, high := wilson(passed, n)
	v := math.NaN()
	if n > 0 {
		v = float64(passed) / float64(n)
	}
	return barValue{Value: v, Low: low, High: high, Note: "n" + nb + count(int64(n))}
}
