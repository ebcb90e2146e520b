// Package notebook cuts the text of a notebook into cells, for whoever runs it and for
// whoever shows what it did.
package notebook

import (
	"regexp"
	"strings"
)

// Cell is a titled region of a notebook. Work belongs to the cell in which its
// outermost call stands.
type Cell struct {
	Number     int // from 1
	Title      string
	Markdown   bool   // else it is code
	Start, End int    // first and last line, from 1; a marker is line Start
	Text       string // without the marker; Markdown without its comment signs
}

// marker is jupytext's percent format: "# %% Title [markdown] key=value".
var (
	marker   = regexp.MustCompile(`^#[ \t]*%%(?:[ \t]+(.*))?$`)
	markdown = regexp.MustCompile(`\[(markdown|md|raw)\]`)
	metadata = regexp.MustCompile(`(^|\s+)[\w.-]+=("[^"]*"|\[[^\]]*\]|\{[^}]*\}|\S+)`) // what editors write there
)

// Cells cuts a text; together the cells cover every line. What stands before the first
// marker is a cell of its own, unless it is blank: then its lines belong to the first
// marked cell. A marker inside a string cuts too, as it does in every editor that knows
// the format.
func Cells(src string) []Cell {
	lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(src, "\ufeff"), "\n"), "\n")
	cells := []Cell{{Start: 1}}
	var body []string
	finish := func(end int) {
		c := &cells[len(cells)-1]
		c.Number, c.End, c.Text = len(cells), end, text(c.Markdown, body)
		body = nil
	}
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		m := marker.FindStringSubmatch(line)
		if m == nil {
			body = append(body, line)
			continue
		}
		start := i + 1
		if strings.TrimSpace(strings.Join(lines[:i], "")) == "" {
			cells, body, start = cells[:0], nil, 1
		} else {
			finish(i)
		}
		title := metadata.ReplaceAllString(markdown.ReplaceAllString(m[1], ""), "")
		cells = append(cells, Cell{Title: strings.TrimSpace(title), Markdown: markdown.MatchString(m[1]), Start: start})
	}
	finish(len(lines))
	return cells
}

// text joins the lines of a cell and takes the comment signs off Markdown, which may
// also be written as one triple-quoted string.
func text(markdown bool, lines []string) string {
	if !markdown {
		return strings.Trim(strings.Join(lines, "\n"), "\n")
	}
	s := strings.TrimSpace(strings.Join(lines, "\n"))
	for _, q := range []string{`"""`, `'''`} {
		if len(s) >= 6 && strings.HasPrefix(s, q) && strings.HasSuffix(s, q) {
			return strings.TrimSpace(s[3 : len(s)-3])
		}
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimPrefix(strings.TrimPrefix(l, "#"), " ")
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}
