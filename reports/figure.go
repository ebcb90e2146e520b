package reports

import (
	"math"
	"slices"
	"sort"
)

// figure is a drawing with all that stands around it.
type figure struct {
	Title string
	Keys  []legendKey
	SVG   html
	Note  string
	Table table // the numbers
}

// legendKey explains an ink: a line with its dashes, or a bar.
type legendKey struct {
	Name string
	Ink  ink
	Dash string
	Bar  bool
	Dots bool
}

// table is rows of text; Num says which columns are figures and stand right.
type table struct {
	Title   string
	Columns []string
	Num     []bool
	Rows    [][]string
	Note    string
}

// tableRows is how many rows of numbers stand behind a figure at most.
const tableRows = 60

// figure returns the chart with its legend and its numbers, or nil if there is
// nothing to draw.
func (c chart) figure() *figure {
	cv, ok := c.svg()
	if !ok {
		return nil
	}
	f := &figure{Title: c.Title, SVG: cv.svg("chart", c.Title), Note: c.Note, Table: c.table()}
	for _, cu := range c.Curves {
		if !cu.Faint && cu.Name != "" && len(c.Curves) > 1 {
			f.Keys = append(f.Keys, legendKey{Name: cu.Name, Ink: cu.Ink, Dash: dashList(cu.Style), Dots: cu.Dots})
		}
	}
	return f
}

// dashList writes the dashes of a style as SVG does.
func dashList(style string) string {
	s := ""
	for i, d := range dashes[style] {
		if i > 0 {
			s += " "
		}
		s += num(d.Points())
	}
	return s
}

// table returns the numbers of the chart, a row for each x. Where they are too
// many it keeps first, last and every so-and-so-many between them, and says so.
func (c chart) table() table {
	t := table{Columns: []string{c.XLab}}
	rows := map[float64]map[int]float64{}
	shown := 0
	for _, cu := range c.Curves {
		if cu.Faint && len(cu.Low) == 0 && !cu.Dots {
			continue
		}
		t.Columns = append(t.Columns, cu.Name)
		for i, x := range cu.Xs {
			if rows[x] == nil {
				rows[x] = map[int]float64{}
			}
			rows[x][shown] = cu.Ys[i]
		}
		shown++
	}
	var xs []float64
	for x := range rows {
		if !math.IsNaN(x) {
			xs = append(xs, x)
		}
	}
	sort.Float64s(xs)
	if stride := (len(xs) + tableRows - 1) / tableRows; stride > 1 {
		t.Note = "every " + ordinal(stride) + " of " + plural(int64(len(xs)), "point")
		xs = thin(xs, stride)
	}
	for _, x := range xs {
		row := []string{number(x)}
		for k := range shown {
			v, ok := rows[x][k]
			if !ok {
				row = append(row, "")
				continue
			}
			row = append(row, number(v))
		}
		t.Rows = append(t.Rows, row)
	}
	t.Num = slices.Repeat([]bool{true}, len(t.Columns))
	return t
}

// thin keeps every stride-th value and the last.
func thin(xs []float64, stride int) []float64 {
	var out []float64
	for i, x := range xs {
		if i%stride == 0 || i == len(xs)-1 {
			out = append(out, x)
		}
	}
	return out
}

// ordinal writes 2nd, 3rd, 12th.
func ordinal(n int) string {
	end := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			end = "st"
		case 2:
			end = "nd"
		case 3:
			end = "rd"
		}
	}
	return count(int64(n)) + end
}

// figure returns the bars with their legend and numbers, or nil if there are none.
func (b bars) figure() *figure {
	cv, ok := b.svg()
	if !ok {
		return nil
	}
	f := &figure{Title: b.Title, SVG: cv.svg("chart bars", b.Title), Note: b.Note}
	if len(b.Names) > 1 {
		for k, n := range b.Names {
			f.Keys = append(f.Keys, legendKey{Name: n, Ink: b.ink(k), Bar: true})
		}
	}
	f.Table = table{Columns: []string{"", "", "value", "95" + nb + "% low", "95" + nb + "% high", ""}, Num: []bool{false, false, true, true, true, false}}
	for _, r := range b.Rows {
		for k, v := range r.Bars {
			name := ""
			if k < len(b.Names) {
				name = b.Names[k]
			}
			f.Table.Rows = append(f.Table.Rows, []string{r.Label, name, b.text(v.Value), b.end(v.Low), b.end(v.High), v.Note})
		}
	}
	f.Table = f.Table.dense()
	return f
}

// end writes the end of an interval, or nothing where there is none.
func (b bars) end(v float64) string {
	if !finite(v) {
		return ""
	}
	return b.text(v)
}

// dense drops the columns in which nothing stands.
func (t table) dense() table {
	keep := func(k int) bool {
		return slices.ContainsFunc(t.Rows, func(r []string) bool { return r[k] != "" })
	}
	out := table{Title: t.Title, Note: t.Note, Rows: make([][]string, len(t.Rows))}
	for k := range t.Columns {
		if !keep(k) {
			continue
		}
		out.Columns, out.Num = append(out.Columns, t.Columns[k]), append(out.Num, t.Num[k])
		for i, r := range t.Rows {
			out.Rows[i] = append(out.Rows[i], r[k])
		}
	}
	return out
}
