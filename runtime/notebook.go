package runtime

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"starbook/runtime/cas"
)

// Notebook is the text of an experiment, cut into cells.
type Notebook struct {
	Path   string     // as given
	Source []byte     // UTF-8, without a byte order mark
	Digest cas.Digest // of Source
	Cells  []Cell     // in order; they cover every line
}

// CellKind says what a Cell holds.
type CellKind string

// The kinds of cells.
const (
	Code     CellKind = "code"
	Markdown CellKind = "markdown"
)

// Cell is a titled region of a notebook. Work belongs to the cell in which its
// outermost call stands.
type Cell struct {
	Title      string
	Kind       CellKind
	Start, End int    // first and last line, from 1; a marker is line Start
	Text       string // without the marker; Markdown without its comment signs
}

// marker is jupytext's percent format: "# %% Title [markdown] key=value".
var (
	marker   = regexp.MustCompile(`^#[ \t]*%%(?:[ \t]+(.*))?$`)
	cellType = regexp.MustCompile(`\[(markdown|md|raw)\]`)
	cellMeta = regexp.MustCompile(`(^|\s+)[\w.-]+=("[^"]*"|\[[^\]]*\]|\{[^}]*\}|\S+)`)
)

// ReadNotebook reads and cuts the file at path.
func ReadNotebook(path string) (*Notebook, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("notebook: %w", err)
	}
	return NewNotebook(path, src)
}

// NewNotebook cuts src, which is said to have come from path.
func NewNotebook(path string, src []byte) (*Notebook, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if line := badUTF8(src); line > 0 {
		return nil, fmt.Errorf("notebook: %s:%d: not UTF-8: save the file as UTF-8", path, line)
	}
	return &Notebook{Path: path, Source: src, Digest: cas.Sum(src), Cells: cut(string(src))}, nil
}

// Cell returns the number of the cell that line stands in, from 1, or 0 if the
// notebook has no such line.
func (n *Notebook) Cell(line int) int {
	if line < 1 || len(n.Cells) == 0 || line > n.Cells[len(n.Cells)-1].End {
		return 0
	}
	return sort.Search(len(n.Cells), func(i int) bool { return n.Cells[i].Start > line })
}

// cut finds the cells. Text before the first marker is a cell of its own,
// unless it is blank: then its lines belong to the first marked cell. A marker
// inside a string cuts too, as it does in every editor that knows the format.
func cut(src string) []Cell {
	lines := strings.Split(strings.TrimSuffix(src, "\n"), "\n")
	cells := []Cell{{Kind: Code, Start: 1}}
	var body []string
	finish := func(end int) {
		c := &cells[len(cells)-1]
		c.End = end
		c.Text = text(c.Kind, body)
		body = nil
	}
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		m := marker.FindStringSubmatch(line)
		if m == nil {
			body = append(body, line)
			continue
		}
		title, kind := heading(m[1])
		if len(cells) == 1 && cells[0].Title == "" && blank(lines[:i]) {
			cells[0] = Cell{Title: title, Kind: kind, Start: 1}
			body = nil
			continue
		}
		finish(i)
		cells = append(cells, Cell{Title: title, Kind: kind, Start: i + 1})
	}
	finish(len(lines))
	return cells
}

// heading splits what stands behind "# %%" into a title and a kind. Cell
// metadata, which editors write there, is dropped.
func heading(s string) (title string, kind CellKind) {
	kind = Code
	if cellType.MatchString(s) {
		kind = Markdown
		s = cellType.ReplaceAllString(s, "")
	}
	return strings.TrimSpace(cellMeta.ReplaceAllString(s, "")), kind
}

// text joins the lines of a cell and takes the comment signs off Markdown,
// which may also be written as one triple-quoted string.
func text(kind CellKind, lines []string) string {
	if kind == Code {
		return strings.Join(lines, "\n")
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

func blank(lines []string) bool {
	return strings.TrimSpace(strings.Join(lines, "")) == ""
}

// badUTF8 returns the first line that is not UTF-8, or 0.
func badUTF8(src []byte) int {
	if utf8.Valid(src) {
		return 0
	}
	line := 1
	for len(src) > 0 {
		r, size := utf8.DecodeRune(src)
		if r == utf8.RuneError && size == 1 {
			return line
		}
		if r == '\n' {
			line++
		}
		src = src[size:]
	}
	return 0
}
