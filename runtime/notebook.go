package runtime

import (
	"bytes"
	"fmt"
	"os"
	"sort"
	"unicode/utf8"

	"starbook/runtime/cas"
	"starbook/runtime/notebook"
)

// Notebook is the text of an experiment, cut into cells.
type Notebook struct {
	Path   string     // as given
	Source []byte     // UTF-8, without a byte order mark
	Digest cas.Digest // of Source
	Cells  []notebook.Cell
}

// ReadNotebook reads and cuts the file at path.
func ReadNotebook(path string) (*Notebook, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("notebook: %s is a folder: name a .star file in it", path)
	}
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
	return &Notebook{Path: path, Source: src, Digest: cas.Sum(src), Cells: notebook.Cells(string(src))}, nil
}

// Cell returns the number of the cell that line stands in, from 1, or 0 if the
// notebook has no such line.
func (n *Notebook) Cell(line int) int {
	if line < 1 || len(n.Cells) == 0 || line > n.Cells[len(n.Cells)-1].End {
		return 0
	}
	return sort.Search(len(n.Cells), func(i int) bool { return n.Cells[i].Start > line })
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
