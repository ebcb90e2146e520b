package reports

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is a plot of curves over a common axis. Its size in units is that of a
// telephone's column, so that its text is readable there; wide screens show
// two beside each other.
type chart struct {
	Title      string
	XLab, YLab string
	LogX, LogY bool
	Curves     []curve
	Spans      []span
	Rings      []ring
	Note       string // how it was drawn, what the marks mean
}

// curve is one line of a chart. A NaN in Ys breaks it.
type curve struct {
	Name      string
	Ink       ink
	Style     string // a key of dashes
	Xs, Ys    []float64
	Low, High []float64 // band around the line: empty, or one for each x
	Dots      bool      // the points are few and each is a measurement
	Bare      bool      // dots without a line
	Faint     bool      // behind another one: not in the legend
}

// dashes are the line styles: the second channel beside colour.
var dashes = map[string][]vg.Length{"solid": nil, "dashed": {6, 3}, "dotted": {1.5, 3}, "dashdot": {7, 3, 1.5, 3}, "long": {12, 4}}

// styleNames are the keys of dashes in the order of use.
var styleNames = []string{"solid", "dashed", "dotted", "dashdot", "long"}

// Sizes in units of the viewBox.
const (
	chartWidth  = 440
	chartHeight = 236
	fontSize    = 11
)

// svg draws the chart; ok is false if no point of it can be drawn.
func (c chart) svg() (cv *canvas, ok bool) {
	p := themed(c.XLab, c.YLab)
	box := c.bounds()
	if box == nil {
		return nil, false
	}
	if c.LogX && box.Min.X > 0 {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	if c.LogY && box.Min.Y > 0 {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	for _, s := range c.Spans {
		p.Add(s)
	}
	p.Add(grid())
	for _, cu := range c.Curves {
		for _, piece := range cu.pieces() {
			p.Add(piece)
		}
	}
	for _, r := range c.Rings {
		p.Add(r)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = box.Min.X, box.Max.X, box.Min.Y, box.Max.Y
	cv = newCanvas(chartWidth, chartHeight)
	p.Draw(draw.Crop(draw.New(cv), 0, -12, 0, -2)) // room for half of the last label
	return cv, true
}

// rect is a range of both axes.
type rect struct{ Min, Max plotter.XY }

// bounds returns the range of all finite points with a little air above and
// below, or nil.
func (c chart) bounds() *rect {
	inf := math.Inf(1)
	r := rect{plotter.XY{X: inf, Y: inf}, plotter.XY{X: -inf, Y: -inf}}
	for _, cu := range c.Curves {
		for i, x := range cu.Xs {
			ys := []float64{cu.Ys[i]}
			if len(cu.Low) > 0 {
				ys = append(ys, cu.Low[i], cu.High[i])
			}
			for _, y := range ys {
				if finite(x) && finite(y) {
					r.Min.X, r.Max.X = min(r.Min.X, x), max(r.Max.X, x)
					r.Min.Y, r.Max.Y = min(r.Min.Y, y), max(r.Max.Y, y)
				}
			}
		}
	}
	if r.Min.X > r.Max.X {
		return nil
	}
	if r.Min.X == r.Max.X {
		r.Min.X, r.Max.X = r.Min.X-1, r.Max.X+1
	}
	if slices.ContainsFunc(c.Curves, func(cu curve) bool { return cu.Bare && !cu.Faint }) {
		c.widen(&r)
	}
	air := (r.Max.Y - r.Min.Y) * 0.06
	if air == 0 {
		air = max(math.Abs(r.Max.Y)*0.1, 1e-9)
	}
	if !c.LogY || r.Min.Y <= 0 {
		if r.Min.Y < 0 || r.Min.Y-air > 0 {
			r.Min.Y -= air
		} else {
			r.Min.Y = 0
		}
	}
	r.Max.Y += air
	return &r
}

// widen makes room left and right of points that stand alone.
func (c chart) widen(r *rect) {
	if c.LogX && r.Min.X > 0 {
		air := math.Pow(r.Max.X/r.Min.X, 0.04)
		r.Min.X, r.Max.X = r.Min.X/air, r.Max.X*air
		return
	}
	air := (r.Max.X - r.Min.X) * 0.04
	r.Min.X, r.Max.X = r.Min.X-air, r.Max.X+air
}

// pieces returns the plotters of a curve: one band and one line for each
// stretch without a gap.
func (cu curve) pieces() []plot.Plotter {
	var out []plot.Plotter
	width, radius := vg.Length(1.6), vg.Length(2.2)
	if cu.Bare {
		radius = 3
	}
	if cu.Faint {
		width = 0.8
	}
	tone := cu.Ink
	if cu.Faint {
		tone += " faint"
	}
	for lo := 0; lo < len(cu.Xs); lo++ {
		if !cu.whole(lo) {
			continue
		}
		hi := lo
		for hi < len(cu.Xs) && cu.whole(hi) {
			hi++
		}
		pts := make(plotter.XYs, 0, hi-lo)
		for i := lo; i < hi; i++ {
			pts = append(pts, plotter.XY{X: cu.Xs[i], Y: cu.Ys[i]})
		}
		switch {
		case len(cu.Low) > 0 && cu.Bare && !cu.Faint:
			out = append(out, whiskers{cu, lo, hi})
		case len(cu.Low) > 0:
			out = append(out, cu.band(lo, hi))
		}
		if !cu.Bare && len(pts) > 1 {
			out = append(out, &plotter.Line{XYs: pts, LineStyle: draw.LineStyle{Color: tone, Width: width, Dashes: dashes[cu.Style]}})
		}
		if cu.Dots || len(pts) == 1 {
			out = append(out, &plotter.Scatter{XYs: pts, GlyphStyle: draw.GlyphStyle{Color: tone, Radius: radius, Shape: draw.CircleGlyph{}}})
		}
		lo = hi
	}
	return out
}

// whole reports whether point i can be drawn.
func (cu curve) whole(i int) bool {
	return finite(cu.Xs[i]) && finite(cu.Ys[i]) && (len(cu.Low) == 0 || finite(cu.Low[i]) && finite(cu.High[i]))
}

// band returns the shape between Low and High of the points lo to hi-1.
func (cu curve) band(lo, hi int) plot.Plotter {
	var pts plotter.XYs
	for i := lo; i < hi; i++ {
		pts = append(pts, plotter.XY{X: cu.Xs[i], Y: cu.High[i]})
	}
	for i := hi - 1; i >= lo; i-- {
		pts = append(pts, plotter.XY{X: cu.Xs[i], Y: cu.Low[i]})
	}
	return &plotter.Polygon{XYs: []plotter.XYs{pts}, Color: cu.Ink + " band"}
}

// finite reports whether v is neither NaN nor infinite.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
