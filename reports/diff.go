package reports

import "strings"

// DiffLine is a line of a difference: kept (' '), removed ('-'), added ('+'),
// or a heading ('@').
type DiffLine struct {
	Op   byte
	Text string
}

// Class returns the line's class of style.css.
func (l DiffLine) Class() string {
	switch l.Op {
	case '-':
		return "del"
	case '+':
		return "ins"
	case '@':
		return "hunk"
	}
	return ""
}

// Sign returns the line's first column.
func (l DiffLine) Sign() string { return string(rune(l.Op)) }

// patchLines reads a unified diff, as git writes it, up to 800 lines.
func patchLines(s string) []DiffLine {
	var out []DiffLine
	for l := range strings.Lines(s) {
		l = clip(strings.TrimSuffix(l, "\n"), 500)
		if len(out) == 800 {
			return append(out, DiffLine{'@', "the rest is in the store"})
		}
		switch {
		case l == "":
			out = append(out, DiffLine{' ', ""})
		case strings.HasPrefix(l, "+++"), strings.HasPrefix(l, "---"), l[0] != '+' && l[0] != '-' && l[0] != ' ':
			out = append(out, DiffLine{'@', l})
		default:
			out = append(out, DiffLine{l[0], l[1:]})
		}
	}
	return out
}

// Diff returns how b differs from a, with two lines of context, and nothing if
// it does not. It finds the longest common subsequence (Hunt-Szymanski would
// be faster; notebooks are short), after taking equal ends off.
func Diff(a, b string) []DiffLine {
	if a == b {
		return nil
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	if len(x) > 3000 || len(y) > 3000 {
		return []DiffLine{{'@', "too long to compare here"}}
	}
	all := align(x, y)
	const context = 2
	near := make([]bool, len(all))
	for i, l := range all {
		if l.Op != ' ' {
			for k := max(0, i-context); k <= min(len(all)-1, i+context); k++ {
				near[k] = true
			}
		}
	}
	var out []DiffLine
	for i, l := range all {
		switch {
		case near[i]:
			out = append(out, l)
		case i > 0 && near[i-1]:
			out = append(out, DiffLine{'@', "…"})
		}
	}
	if n := len(out); n > 0 && out[n-1].Op == '@' {
		out = out[:n-1]
	}
	return out
}

// align pairs the lines of x and y.
func align(x, y []string) []DiffLine {
	var head, tail []DiffLine
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		head = append(head, DiffLine{' ', x[0]})
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		tail = append(tail, DiffLine{' ', x[len(x)-1]})
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	best := make([][]int32, len(x)+1) // length of the common subsequence of x[i:], y[j:]
	for i := range best {
		best[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if x[i] == y[j] {
				best[i][j] = best[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < len(x) || j < len(y); {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			head = append(head, DiffLine{' ', x[i]})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && best[i+1][j] >= best[i][j+1]:
			head = append(head, DiffLine{'-', x[i]})
			i++
		default:
			head = append(head, DiffLine{'+', y[j]})
			j++
		}
	}
	for i := len(tail) - 1; i >= 0; i-- {
		head = append(head, tail[i])
	}
	return head
}
