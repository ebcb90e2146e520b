package notebook

import (
	"slices"
	"strings"
	"testing"
)

func TestCells(t *testing.T) {
	for name, tt := range map[string]struct {
		src  string
		want []Cell
	}{
		"two":        {"# %% One\nx = 1\n# %% [markdown] Two id=7\n# # Title\n#\n#text\n", []Cell{{1, "One", false, 1, 2, "x = 1"}, {2, "Two", true, 3, 6, "# Title\n\ntext"}}},
		"metadata":   {"# %% Train [a.b] tags=[\"x\"]\ny = 2\n\n#%%\n# %%% is none\n", []Cell{{1, "Train [a.b]", false, 1, 3, "y = 2"}, {2, "", false, 4, 5, "# %%% is none"}}},
		"no marker":  {"x = 1\ny = 2", []Cell{{1, "", false, 1, 2, "x = 1\ny = 2"}}},
		"text first": {"#!/usr/bin/env starbook\n# %%\ny = 2\n", []Cell{{1, "", false, 1, 1, "#!/usr/bin/env starbook"}, {2, "", false, 2, 3, "y = 2"}}},
		"blank head": {"\n\n# %% A\nx\n", []Cell{{1, "A", false, 1, 4, "x"}}},
		"string":     {"# %% [md]\n\"\"\"\n# Hello\n\"\"\"\n", []Cell{{1, "", true, 1, 4, "# Hello"}}},
		"no string":  {"# %% [md]\n\"\"\"\n# a\n\"\"\"\n# b\n", []Cell{{1, "", true, 1, 5, "\"\"\"\na\n\"\"\"\nb"}}},
		"crlf":       {"\ufeff\r\n# %% [markdown]\r\n\"\"\"\r\n# Title\r\n\"\"\"\r\n", []Cell{{1, "", true, 1, 5, "# Title"}}},
		"empty":      {"", []Cell{{1, "", false, 1, 1, ""}}},
	} {
		if got := Cells(tt.src); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// Whatever the text, the cells cover its lines once, in order.
func FuzzCells(f *testing.F) {
	for _, s := range []string{"", "\n", "# %%", "a\n# %% b\r\n# %% [markdown]\n#c\n", "\n\n# %% x=1", "# %% [markdown]\n\"\"\"\"\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		next := 1
		for i, c := range Cells(src) {
			if c.Number != i+1 || c.Start != next || c.End < c.Start {
				t.Fatalf("cell %d is %+v, the one before ends at %d", i+1, c, next-1)
			}
			next = c.End + 1
		}
		if lines := strings.Count(strings.TrimSuffix(src, "\n"), "\n") + 1; next != lines+1 {
			t.Fatalf("the cells end at line %d of %d", next-1, lines)
		}
	})
}
