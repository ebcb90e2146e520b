package reports

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"starbook/runtime/event"
)

// scriptTable is the table of a report.table call, cut to what a page holds.
func scriptTable(d event.TableData) table {
	const rows = 200
	t := table{Title: d.Title, Columns: d.Columns, Note: d.Note}
	for i, r := range d.Rows {
		if i == rows {
			t.Note = strings.TrimSpace(t.Note + " The first " + count(rows) + " of " + count(int64(len(d.Rows))) + " rows.")
			break
		}
		words := make([]string, len(d.Columns))
		for k := range words {
			if k < len(r) {
				words[k] = cellText(r[k])
			}
		}
		t.Rows = append(t.Rows, words)
	}
	for k := range d.Columns {
		t.Num = append(t.Num, figures(d.Rows, k))
	}
	return t
}

// cellText writes a value of a table.
func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return clip(v, 2000)
	case float64:
		return number(v)
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v]
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return clip(string(b), 2000)
}

// figures reports whether column k holds numbers only.
func figures(rows [][]any, k int) bool {
	some := false
	for _, r := range rows {
		if k >= len(r) || r[k] == nil {
			continue
		}
		if _, ok := r[k].(float64); !ok {
			return false
		}
		some = true
	}
	return some
}

// scriptPlot draws a report.plot call; nil if there is nothing to draw.
func scriptPlot(d event.PlotData) *figure {
	if d.Kind == "bar" {
		return scriptBars(d).figure()
	}
	c := chart{Title: d.Title, XLab: d.XLabel, YLab: d.YLabel, LogX: d.LogX, LogY: d.LogY, Note: d.Note}
	for i, s := range d.Series {
		n := len(s.Y)
		if len(s.X) > 0 {
			n = min(n, len(s.X))
		}
		cu := curve{Name: s.Name, Ink: series(i), Style: s.Style, Bare: d.Kind == "scatter", Dots: d.Kind == "scatter" || n <= 30}
		if _, ok := dashes[s.Style]; !ok {
			cu.Style = styleNames[i%len(styleNames)]
		}
		banded := len(s.Low) >= n && len(s.High) >= n
		for k := range n {
			x := float64(k + 1)
			if len(s.X) > 0 {
				x = s.X[k]
			}
			y := s.Y[k]
			if d.LogX && x <= 0 || d.LogY && y <= 0 {
				y = math.NaN() // has no place on a logarithmic axis
			}
			cu.Xs, cu.Ys = append(cu.Xs, x), append(cu.Ys, y)
			if banded {
				cu.Low, cu.High = append(cu.Low, s.Low[k]), append(cu.High, s.High[k])
			}
		}
		c.Curves = append(c.Curves, cu)
	}
	return c.figure()
}

// scriptBars is a bar plot of a script.
func scriptBars(d event.PlotData) bars {
	b := bars{Title: d.Title, XLab: d.YLabel, Note: d.Note}
	for _, s := range d.Series {
		b.Names = append(b.Names, s.Name)
	}
	for i, name := range d.Categories {
		if i == shownGroups*2 {
			break
		}
		row := barRow{Label: name}
		for _, s := range d.Series {
			v := barValue{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
			if i < len(s.Y) {
				v.Value = s.Y[i]
			}
			if i < len(s.Low) && i < len(s.High) {
				v.Low, v.High = s.Low[i], s.High[i]
			}
			row.Bars = append(row.Bars, v)
		}
		b.Rows = append(b.Rows, row)
	}
	return b
}

// rerun returns the command that runs the run again.
func rerun(r *run) string {
	if len(r.Argv) == 0 {
		return ""
	}
	words := slices.Clone(r.Argv)
	words[0] = filepath.Base(words[0])
	for i, w := range words {
		words[i] = shellQuote(w)
	}
	return strings.Join(words, " ")
}

// shellQuote quotes a word for a POSIX shell, if it needs it.
func shellQuote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%_+=:,./-", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !safe(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// environment lists what a run recorded of its machine, sorted.
func environment(r *run) []fact {
	var out []fact
	for k, v := range r.Env {
		out = append(out, fact{k, v})
	}
	slices.SortFunc(out, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
	return out
}
