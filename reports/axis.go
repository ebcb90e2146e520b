package reports

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// sans is the font that text is measured with; style.css asks for the same widths.
var sans = font.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize}

// themed returns a plot in the house's quiet style: hairlines and muted labels.
func themed(xlab, ylab string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Tick.Color = inkRule, inkRule
		a.Width, a.Tick.Width, a.Tick.Length, a.Padding = 0.8, 0.8, 3, 2
		a.Tick.Label.Color, a.Label.TextStyle.Color = inkMuted, inkMuted
		a.Tick.Label.Font = sans
		a.Label.TextStyle.Font = sans
		a.Tick.Marker = plainTicks{}
	}
	p.X.Label.Text, p.Y.Label.Text = xlab, ylab
	return p
}

// label returns the style of text inside a plot.
func label(i ink) draw.TextStyle {
	p := themed("", "")
	sty := p.X.Tick.Label
	sty.Color = i
	return sty
}

// grid returns horizontal hairlines.
func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Width = 0
	g.Horizontal = draw.LineStyle{Color: inkRule, Width: 0.6}
	return g
}

// plainTicks stand at round numbers: 1, 2 or 5 times a power of ten apart, some
// five of them.
type plainTicks struct{}

// Ticks implements plot.Ticker.
func (plainTicks) Ticks(lo, hi float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/5)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(m*step) <= 6 {
			step *= m
			break
		}
	}
	var out []plot.Tick
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+step*1e-9 && len(out) < 12; k++ {
		out = append(out, plot.Tick{Value: k * step, Label: tickLabel(k * step)})
	}
	return out
}

// logTicks are decades, or the numbers between where decades are too few.
type logTicks struct{}

// Ticks implements plot.Ticker.
func (logTicks) Ticks(lo, hi float64) []plot.Tick {
	digits := []float64{1}
	if hi/lo < 100 {
		digits = []float64{1, 2, 5}
	}
	var out []plot.Tick
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)) && len(out) < 40; e++ {
		for _, d := range digits {
			if v := d * math.Pow(10, e); v >= lo && v <= hi {
				out = append(out, plot.Tick{Value: v, Label: tickLabel(v)})
			}
		}
	}
	if len(out) < 2 {
		return plainTicks{}.Ticks(lo, hi)
	}
	return out
}

// tickLabel writes the value of a tick, free of the noise of adding steps.
func tickLabel(v float64) string {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	return number(r)
}
