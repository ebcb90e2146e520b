package reports

import (
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// heatmap shows a number for each pair of two settings' values. Shade is the second
// channel: the number stands in every cell.
type heatmap struct {
	Title          string
	Rows, Cols     string // what the settings are called
	RowAt, ColAt   []string
	Cells          [][]heatCell // by row, by column
	Rates, Reverse bool         // fractions shown in percent; smaller is darker
	Note           string
}

// heatCell is the mean of N values; none if N is 0.
type heatCell struct {
	Mean float64
	N    int
}

// Sizes in units of the viewBox. Shades are classes of style.css, h0 to h5.
const (
	heatRow = 26.0
	shades  = 6
)

// figure returns the map with its numbers, or nil if no cell has a value.
func (h heatmap) figure() *figure {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, row := range h.Cells {
		for _, c := range row {
			if c.N > 0 {
				lo, hi = min(lo, c.Mean), max(hi, c.Mean)
			}
		}
	}
	if lo > hi {
		return nil
	}
	return &figure{Title: h.Title, SVG: h.draw(lo, hi).svg("chart", h.Title), Note: h.Note, Table: h.table()}
}

func (h heatmap) draw(lo, hi float64) *canvas {
	cv := newCanvas(chartWidth, heatRow*float64(len(h.RowAt)+2)+4)
	c := draw.New(cv)
	room := label(inkText).Width(h.Rows)
	for _, name := range h.RowAt {
		room = max(room, label(inkText).Width(name))
	}
	room += 10
	wide := (vg.Length(chartWidth) - room) / vg.Length(len(h.ColAt))
	top := vg.Length(cv.h) - heatRow
	write(c, inkMuted, draw.XRight, room-6, top-heatRow/2, h.Rows)
	write(c, inkMuted, draw.XLeft, room, top+heatRow/2, h.Cols)
	for k, name := range h.ColAt {
		write(c, inkMuted, draw.XCenter, room+wide*(vg.Length(k)+0.5), top-heatRow/2, clip(name, 10))
	}
	for i, row := range h.Cells {
		y := top - heatRow*vg.Length(i+2)
		write(c, inkText, draw.XRight, room-6, y+heatRow/2, clip(h.RowAt[i], 20))
		for k, cell := range row {
			if cell.N == 0 {
				continue
			}
			x0, x1 := room+wide*vg.Length(k)+1, room+wide*vg.Length(k+1)-1
			shade := ink(fmt.Sprintf("c1 h%d", h.shade(cell.Mean, lo, hi)))
			c.FillPolygon(shade, []vg.Point{{X: x0, Y: y + 1}, {X: x1, Y: y + 1}, {X: x1, Y: y + heatRow - 1}, {X: x0, Y: y + heatRow - 1}})
			write(c, inkText, draw.XCenter, (x0+x1)/2, y+heatRow/2, h.text(cell))
		}
	}
	return cv
}

// shade returns 0 for the worst value to shades-1 for the best.
func (h heatmap) shade(v, lo, hi float64) int {
	if hi == lo {
		return shades / 2
	}
	part := (v - lo) / (hi - lo)
	if h.Reverse {
		part = 1 - part
	}
	return min(int(part*shades), shades-1)
}

func (h heatmap) text(c heatCell) string {
	s := number(c.Mean)
	if h.Rates {
		s = rate(c.Mean)
	}
	return s
}

func (h heatmap) table() table {
	t := table{Columns: []string{h.Rows, h.Cols, "mean", "trials"}, Num: []bool{true, true, true, true}}
	for i, row := range h.Cells {
		for k, c := range row {
			if c.N > 0 {
				t.Rows = append(t.Rows, []string{h.RowAt[i], h.ColAt[k], h.text(c), count(int64(c.N))})
			}
		}
	}
	return t
}
