package event

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTableText(t *testing.T) {
	for _, c := range []struct {
		table TableData
		want  string
	}{
		{TableData{Columns: []string{"a", "b"}}, "  a  b"},
		{
			TableData{Title: "T", Columns: []string{"name", "n"}, Rows: [][]any{{"one", 1}, {"three\x1b[31m", 0.25}, {nil, true}}},
			"T\n  name        n\n  one         1\n  three\uFFFD[31m  0.25\n              true",
		},
		{
			TableData{Columns: []string{"prompt", "x", "completion"}, Rows: [][]any{{strings.Repeat("a b\n", 40), nil, strings.Repeat("c", 99)}, {"", strings.Repeat("d", 60), "e"}}},
			"  1  prompt      " + strings.Repeat("a b ", 22) + "a b…\n" + "     completion  " + strings.Repeat("c", 91) + "…\n" +
				"  2  x           " + strings.Repeat("d", 60) + "\n     completion  e",
		},
	} {
		b, err := json.Marshal(c.table)
		if err != nil {
			t.Fatal(err)
		}
		if got := tableText(b); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	if got := tableText(json.RawMessage(`{"columns":3}`)); got != "" {
		t.Errorf("%q", got)
	}
}
