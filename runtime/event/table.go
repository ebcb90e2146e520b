package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// How wide a table on the console may be, and a text in it, in characters.
const (
	tableWidth = 110
	cellWidth  = 40
)

// tableText writes the data of a Table for a terminal: in columns if they fit,
// otherwise each row as a list of its cells. Texts are cut; the report has them whole.
func tableText(data json.RawMessage) string {
	var t TableData
	if json.Unmarshal(data, &t) != nil || len(t.Columns) == 0 {
		return ""
	}
	rows := [][]string{t.Columns}
	for _, r := range t.Rows {
		cells := make([]string, len(t.Columns))
		for i := range min(len(r), len(cells)) {
			cells[i] = cellText(r[i])
		}
		rows = append(rows, cells)
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString(printable(t.Title) + "\n")
	}
	if !inColumns(&b, rows) {
		asList(&b, rows)
	}
	return strings.TrimRight(b.String(), "\n")
}

func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.Join(strings.Fields(v), " ")
	case float64:
		return fmt.Sprintf("%.6g", v)
	}
	return fmt.Sprint(v)
}

func short(s string, width int) string {
	s = printable(s)
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// inColumns writes nothing if the columns are too wide.
func inColumns(b *strings.Builder, rows [][]string) bool {
	widths, sum := make([]int, len(rows[0])), 0
	for i := range widths {
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(short(r[i], cellWidth)))
		}
		sum += widths[i] + 2
	}
	if sum > tableWidth {
		return false
	}
	for _, r := range rows {
		line := ""
		for i, cell := range r {
			cell = short(cell, cellWidth)
			line += "  " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return true
}

func asList(b *strings.Builder, rows [][]string) {
	width := 0
	for _, name := range rows[0] {
		width = max(width, utf8.RuneCountInString(short(name, cellWidth)))
	}
	for n, r := range rows[1:] {
		mark := fmt.Sprintf("%3d ", n+1)
		for i, cell := range r {
			if cell == "" {
				continue
			}
			name := short(rows[0][i], cellWidth)
			fmt.Fprintf(b, "%s %s%s  %s\n", mark, name, strings.Repeat(" ", width-utf8.RuneCountInString(name)), short(cell, tableWidth-width-8))
			mark = "    "
		}
	}
}
