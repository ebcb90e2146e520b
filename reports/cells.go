package reports

import (
	"regexp"
	"strings"
)

// cell is a titled region of a notebook's text, as the runtime cuts it: at
// "# %%" lines, jupytext's percent format.
type cell struct {
	Number     int // from 1
	Title      string
	Markdown   bool
	Start, End int    // first and last line, from 1; a marker is line Start
	Text       string // without the marker; Markdown without its comment signs
}

var (
	cellMarker = regexp.MustCompile(`^#[ \t]*%%(?:[ \t]+(.*))?$`)
	cellKind   = regexp.MustCompile(`\[(markdown|md|raw)\]`)
	cellMeta   = regexp.MustCompile(`(^|\s+)[\w.-]+=("[^"]*"|\[[^\]]*\]|\{[^}]*\}|\S+)`) // what editors write there
)

// cells cuts a notebook. Text before the first marker is a cell of its own
// unless it is blank.
func cells(src string) []cell {
	src = strings.ReplaceAll(strings.TrimPrefix(src, "\ufeff"), "\r\n", "\n")
	var out []cell
	cur, body := cell{Start: 1}, []string(nil)
	finish := func(end int) {
		cur.End = end
		cur.Text = strings.Trim(strings.Join(body, "\n"), "\n")
		if cur.Markdown {
			cur.Text = uncomment(body)
		}
		cur.Number = len(out) + 1
		out = append(out, cur)
		body = nil
	}
	lines := strings.Split(strings.TrimSuffix(src, "\n"), "\n")
	for i, line := range lines {
		m := cellMarker.FindStringSubmatch(line)
		if m == nil {
			body = append(body, line)
			continue
		}
		start := i + 1
		if len(out) == 0 && cur.Start == 1 && strings.TrimSpace(strings.Join(lines[:i], "")) == "" {
			start = 1 // blank lines before the first marker belong to it
		} else {
			finish(i)
		}
		cur, body = cell{Start: start, Markdown: cellKind.MatchString(m[1])}, nil
		cur.Title = strings.TrimSpace(cellMeta.ReplaceAllString(cellKind.ReplaceAllString(m[1], ""), ""))
	}
	finish(len(lines))
	return out
}

// uncomment returns the text of a Markdown cell: comment lines, or one string
// in triple quotes.
func uncomment(lines []string) string {
	whole := strings.TrimSpace(strings.Join(lines, "\n"))
	for _, quote := range []string{`"""`, `'''`} {
		if inner, ok := strings.CutPrefix(whole, quote); ok {
			return strings.Trim(strings.TrimSuffix(inner, quote), "\n")
		}
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		l = strings.TrimPrefix(l, "#")
		out[i] = strings.TrimPrefix(l, " ")
	}
	return strings.Trim(strings.Join(out, "\n"), "\n")
}

// heading takes the first level-one heading off a Markdown text.
func heading(md string) (title, rest string) {
	lines := strings.Split(md, "\n")
	for i, l := range lines {
		if t, ok := strings.CutPrefix(l, "# "); ok {
			return strings.TrimSpace(t), strings.Join(append(lines[:i:i], lines[i+1:]...), "\n")
		}
		if strings.TrimSpace(l) != "" {
			break
		}
	}
	return "", md
}
