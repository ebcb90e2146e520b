package reports

import (
	"fmt"
	"html/template"
	"image"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// ink is a colour by its role: a class of style.css. The page decides what the
// role looks like, so that a plot follows dark mode and print.
type ink string

// The inks. c1 to c8 are the Okabe-Ito colours, which stay apart for all common
// kinds of colour blindness.
const (
	inkText  ink = "fg"
	inkMuted ink = "mute"
	inkRule  ink = "rule"
	inkPaper ink = "paper"
)

// RGBA implements color.Color, for code that does not know inks.
func (ink) RGBA() (r, g, b, a uint32) { return 0, 0, 0, 0xffff }

// series returns the ink of the i-th curve, from 0.
func series(i int) ink { return ink("c" + strconv.Itoa(i%8+1)) }

// canvas draws gonum plots as SVG without a single colour, style attribute or
// transform group in it: strokes and fills name an ink, points are absolute.
type canvas struct {
	w, h  float64 // in units of the viewBox, a vg point each
	b     strings.Builder
	state pen
	stack []pen
}

// pen is what Push saves: the matrix takes vg's points to the page's.
type pen struct {
	ink        ink
	width      float64
	dash       []vg.Length
	a, b, c, d float64 // x' = a·x + c·y + e
	e, f       float64 // y' = b·x + d·y + f
}

var _ vg.CanvasSizer = (*canvas)(nil)

// newCanvas returns an empty canvas of w by h units; vg's origin is at the
// bottom left, SVG's at the top left.
func newCanvas(w, h float64) *canvas {
	c := &canvas{w: w, h: h, state: pen{ink: inkText, a: 1, d: -1, f: h}}
	vg.Initialize(c)
	return c
}

// svg returns the drawing with label as its spoken name.
func (c *canvas) svg(class, label string) html {
	return html(fmt.Sprintf(`<svg class="%s" viewBox="0 0 %s %s" role="img" aria-label="%s">%s</svg>`,
		class, num(c.w), num(c.h), escape(label), c.b.String()))
}

// Size implements vg.CanvasSizer.
func (c *canvas) Size() (w, h vg.Length) { return vg.Length(c.w), vg.Length(c.h) }

// SetLineWidth implements vg.Canvas.
func (c *canvas) SetLineWidth(w vg.Length) { c.state.width = w.Points() }

// SetLineDash implements vg.Canvas; the offset is not needed here.
func (c *canvas) SetLineDash(pattern []vg.Length, _ vg.Length) { c.state.dash = pattern }

// SetColor implements vg.Canvas: whatever is not an ink is text.
func (c *canvas) SetColor(clr color.Color) {
	c.state.ink = inkText
	if i, ok := clr.(ink); ok {
		c.state.ink = i
	}
}

// Rotate implements vg.Canvas, in radians.
func (c *canvas) Rotate(rad float64) {
	sin, cos := math.Sincos(rad)
	p := &c.state
	p.a, p.b, p.c, p.d = p.a*cos+p.c*sin, p.b*cos+p.d*sin, p.c*cos-p.a*sin, p.d*cos-p.b*sin
}

// Translate implements vg.Canvas.
func (c *canvas) Translate(pt vg.Point) { c.state.e, c.state.f = c.at(pt) }

// Scale implements vg.Canvas.
func (c *canvas) Scale(x, y float64) {
	p := &c.state
	p.a, p.b, p.c, p.d = p.a*x, p.b*x, p.c*y, p.d*y
}

// Push implements vg.Canvas.
func (c *canvas) Push() { c.stack = append(c.stack, c.state) }

// Pop implements vg.Canvas.
func (c *canvas) Pop() {
	c.state = c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
}

// Stroke implements vg.Canvas.
func (c *canvas) Stroke(p vg.Path) {
	if c.state.width <= 0 {
		return
	}
	fmt.Fprintf(&c.b, `<path class="l %s" stroke-width="%s"`, c.state.ink, num(c.state.width))
	if len(c.state.dash) > 0 {
		words := make([]string, len(c.state.dash))
		for i, d := range c.state.dash {
			words[i] = num(d.Points())
		}
		fmt.Fprintf(&c.b, ` stroke-dasharray="%s"`, strings.Join(words, " "))
	}
	fmt.Fprintf(&c.b, ` d="%s"/>`, c.path(p))
}

// Fill implements vg.Canvas.
func (c *canvas) Fill(p vg.Path) {
	fmt.Fprintf(&c.b, `<path class="f %s" d="%s"/>`, c.state.ink, c.path(p))
}

// FillString implements vg.Canvas. Text is measured by gonum with Liberation
// Sans; style.css asks for fonts of the same widths, and where there are none
// another is fitted into the room.
func (c *canvas) FillString(f font.Face, pt vg.Point, s string) {
	size := f.Font.Size.Points()
	if size == 0 || s == "" {
		return
	}
	x, y := c.at(pt)
	fmt.Fprintf(&c.b, `<text class="%s" x="%s" y="%s" font-size="%s" textLength="%s" lengthAdjust="spacingAndGlyphs"`, c.state.ink, num(x), num(y), num(size), num(f.Width(s).Points()))
	if turn := math.Atan2(c.state.b, c.state.a) * 180 / math.Pi; math.Abs(turn) > 0.01 {
		fmt.Fprintf(&c.b, ` transform="rotate(%s %s %s)"`, num(turn), num(x), num(y))
	}
	fmt.Fprintf(&c.b, `>%s</text>`, escape(s))
}

// DrawImage implements vg.Canvas: no plot of ours holds an image, and a page
// without any can forbid them.
func (c *canvas) DrawImage(vg.Rectangle, image.Image) {}

// at returns the page's coordinates of a point.
func (c *canvas) at(pt vg.Point) (x, y float64) {
	p, px, py := &c.state, pt.X.Points(), pt.Y.Points()
	return p.a*px + p.c*py + p.e, p.b*px + p.d*py + p.f
}

// path returns the d attribute of p.
func (c *canvas) path(p vg.Path) string {
	var b strings.Builder
	point := func(cmd string, pt vg.Point) {
		x, y := c.at(pt)
		b.WriteString(cmd + num(x) + " " + num(y))
	}
	for _, s := range p {
		switch s.Type {
		case vg.MoveComp:
			point("M", s.Pos)
		case vg.LineComp:
			point("L", s.Pos)
		case vg.CloseComp:
			b.WriteByte('Z')
		case vg.CurveComp:
			cmd := map[int]string{1: "Q", 2: "C"}[len(s.Control)]
			for _, q := range s.Control {
				point(cmd, q)
				cmd = " "
			}
			point(" ", s.Pos)
		case vg.ArcComp:
			c.arc(point, &b, s)
		}
	}
	return b.String()
}

// arc writes an arc of a circle; a whole one takes two halves, since an arc
// that ends where it begins is none.
func (c *canvas) arc(point func(string, vg.Point), b *strings.Builder, s vg.PathComp) {
	at := func(angle float64) vg.Point {
		sin, cos := math.Sincos(angle)
		return vg.Point{X: s.Pos.X + s.Radius*vg.Length(cos), Y: s.Pos.Y + s.Radius*vg.Length(sin)}
	}
	cmd := "L"
	if b.Len() == 0 {
		cmd = "M"
	}
	point(cmd, at(s.Start))
	det := c.state.a*c.state.d - c.state.b*c.state.c
	r, sweep := num(s.Radius.Points()*math.Sqrt(math.Abs(det))), "0"
	if (s.Angle > 0) == (det > 0) {
		sweep = "1"
	}
	for _, half := range []float64{0.5, 1} {
		b.WriteString("A" + r + " " + r + " 0 0 " + sweep + " ")
		point("", at(s.Start+s.Angle*half))
	}
}

// escape makes text safe inside an element or a quoted attribute.
func escape(s string) string { return template.HTMLEscapeString(s) }

// num writes a coordinate with two decimals at most: a hundredth of a unit is
// below what a screen shows, and the last bits of the arithmetic stay out of
// the page's bytes.
func num(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" || s == "" {
		return "0"
	}
	return s
}
