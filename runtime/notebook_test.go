package runtime

import (
	"strings"
	"testing"
)

func TestNotUTF8(t *testing.T) {
	_, err := NewNotebook("x.star", []byte("a\nb\n\xff\n"))
	if err == nil || !strings.Contains(err.Error(), "x.star:3: not UTF-8") {
		t.Errorf("got %v", err)
	}
}

func TestCellOfALine(t *testing.T) {
	nb, err := NewNotebook("x.star", []byte("x = 1\n# %% A\n\n# %% B\n"))
	if err != nil {
		t.Fatal(err)
	}
	for line, cell := range map[int]int{-1: 0, 0: 0, 1: 1, 2: 2, 3: 2, 4: 3, 5: 0} {
		if got := nb.Cell(line); got != cell {
			t.Errorf("line %d is in cell %d, want %d", line, got, cell)
		}
	}
}
