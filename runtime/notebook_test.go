package runtime

import (
	"reflect"
	"strings"
	"testing"
)

func TestCells(t *testing.T) {
	const src = `#!/usr/bin/env starbook
x = 1
# %% Train [a.b] tags=["x"]
y = 2

# %% [markdown] Why
# # Heading
#no space
#
# text
# %%
z = 3
#%% [md]
"""
**bold**
"""
# %%% not a marker
`
	nb, err := NewNotebook("x.star", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := []Cell{
		{"", Code, 1, 2, "#!/usr/bin/env starbook\nx = 1"},
		{"Train [a.b]", Code, 3, 5, "y = 2\n"},
		{"Why", Markdown, 6, 10, "# Heading\nno space\n\ntext"},
		{"", Code, 11, 12, "z = 3"},
		{"", Markdown, 13, 17, "\"\"\"\n**bold**\n\"\"\"\n%%% not a marker"},
	}
	for i := range max(len(want), len(nb.Cells)) {
		if i >= len(want) || i >= len(nb.Cells) || !reflect.DeepEqual(nb.Cells[i], want[i]) {
			t.Fatalf("cell %d: got %+v\nwant %+v", i+1, nb.Cells, want)
		}
	}
	for line, cell := range map[int]int{0: 0, 1: 1, 2: 1, 3: 2, 5: 2, 6: 3, 17: 5, 18: 0} {
		if got := nb.Cell(line); got != cell {
			t.Errorf("line %d is in cell %d, want %d", line, got, cell)
		}
	}
}

func TestMarkdownString(t *testing.T) {
	nb, err := NewNotebook("x.star", []byte("\ufeff\r\n# %% [markdown]\r\n\"\"\"\r\n# Title\r\n\"\"\"\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Cell{{"", Markdown, 1, 5, "# Title"}}
	if !reflect.DeepEqual(nb.Cells, want) {
		t.Errorf("got %+v, want %+v", nb.Cells, want)
	}
}

func TestNotUTF8(t *testing.T) {
	_, err := NewNotebook("x.star", []byte("a\nb\n\xff\n"))
	if err == nil || !strings.Contains(err.Error(), "x.star:3: not UTF-8") {
		t.Errorf("got %v", err)
	}
}

// Whatever the text, the cells cover its lines once, in order.
func FuzzCells(f *testing.F) {
	for _, s := range []string{"", "\n", "# %%", "a\n# %% b\r\n# %% [markdown]\n#c\n", "\n\n# %% x=1", "# %% [markdown]\n\"\"\"\"\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		nb, err := NewNotebook("x.star", []byte(src))
		if err != nil {
			return
		}
		lines := strings.Count(strings.TrimSuffix(string(nb.Source), "\n"), "\n") + 1
		next := 1
		for i, c := range nb.Cells {
			if c.Start != next || c.End < c.Start {
				t.Fatalf("cell %d has lines %d to %d, the one before ends at %d", i+1, c.Start, c.End, next-1)
			}
			for line := c.Start; line <= c.End; line++ {
				if nb.Cell(line) != i+1 {
					t.Fatalf("line %d of cell %d is found in cell %d", line, i+1, nb.Cell(line))
				}
			}
			next = c.End + 1
		}
		if next != lines+1 {
			t.Fatalf("the cells end at line %d of %d", next-1, lines)
		}
	})
}
