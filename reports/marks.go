package reports

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// span is a shaded stretch of the x axis.
type span struct {
	From, To float64
	Label    string
}

// ring marks one point.
type ring struct {
	X, Y  float64
	Label string
}

// whiskers are the intervals of the points from to to-1 of a curve.
type whiskers struct {
	curve
	from, to int
}

// Plot implements plot.Plotter.
func (w whiskers) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	var path vg.Path // one for all: a page can hold a thousand
	for i := w.from; i < w.to; i++ {
		x, lo, hi := tx(w.Xs[i]), ty(w.Low[i]), ty(w.High[i])
		for _, l := range [][2]vg.Point{{{X: x, Y: lo}, {X: x, Y: hi}}, {{X: x - 3, Y: lo}, {X: x + 3, Y: lo}}, {{X: x - 3, Y: hi}, {X: x + 3, Y: hi}}} {
			path.Move(l[0])
			path.Line(l[1])
		}
	}
	c.SetLineStyle(draw.LineStyle{Color: w.Ink, Width: 1})
	c.Stroke(path)
}

// Plot implements plot.Plotter.
func (s span) Plot(c draw.Canvas, p *plot.Plot) {
	tx, _ := p.Transforms(&c)
	x0, x1 := max(tx(s.From), c.Min.X), min(tx(s.To), c.Max.X)
	c.FillPolygon(ink("c2 span"), []vg.Point{{X: x0, Y: c.Min.Y}, {X: x1, Y: c.Min.Y}, {X: x1, Y: c.Max.Y}, {X: x0, Y: c.Max.Y}})
	c.StrokeLine2(draw.LineStyle{Color: ink("c2"), Width: 0.9, Dashes: dashes["dotted"]}, x1, c.Min.Y, x1, c.Max.Y)
	sty := label(inkMuted)
	if w := sty.Width(s.Label); w+8 < x1-x0 {
		sty.XAlign, sty.YAlign = draw.XCenter, draw.YTop
		c.FillText(sty, vg.Point{X: (x0 + x1) / 2, Y: c.Max.Y - 3}, s.Label)
	}
}

// Plot implements plot.Plotter.
func (r ring) Plot(c draw.Canvas, p *plot.Plot) {
	tx, ty := p.Transforms(&c)
	at := vg.Point{X: tx(r.X), Y: ty(r.Y)}
	c.DrawGlyph(draw.GlyphStyle{Color: inkText, Radius: 5, Shape: draw.RingGlyph{}}, at)
	sty := label(inkText + " halo")
	sty.XAlign, sty.YAlign = draw.XCenter, draw.YBottom
	half := sty.Width(r.Label) / 2
	at.X = min(max(at.X, c.Min.X+half), c.Max.X-half)
	c.FillText(sty, vg.Point{X: at.X, Y: at.Y + 9}, r.Label)
}
