package reports

import (
	"maps"
	"slices"

	"starbook/runtime/cas"
)

// matrix says which run computed which step and which found it done.
type matrix struct {
	Runs []string
	Rows []matrixRow
	Left int // steps that it leaves out
}

// matrixRow is a step; Marks has one word for each run.
type matrixRow struct {
	Name, Short string
	Seconds     float64
	Marks       []string // "run", "hit", "failed", "cut", "unfinished" or ""
}

// matrixOf sets the steps of the first runs against each other: a step that
// runs share is one row.
func matrixOf(rows []boardRow) matrix {
	rows = rows[:min(len(rows), matrixRuns)]
	var m matrix
	type place struct{ seq, row int }
	at := map[cas.Digest]place{}
	var order []place
	for k, r := range rows {
		m.Runs = append(m.Runs, r.ID)
		for _, u := range r.Uses {
			p, ok := at[u.Key]
			if !ok {
				p = place{u.Seq, len(m.Rows)}
				at[u.Key] = p
				order = append(order, p)
				m.Rows = append(m.Rows, matrixRow{Name: u.Name, Short: u.Key.Short(), Seconds: u.Step.Seconds, Marks: make([]string, len(rows))})
			}
			m.Rows[p.row].Marks[k] = u.mark()
		}
	}
	slices.SortStableFunc(order, func(a, b place) int { return a.seq - b.seq })
	sorted := make([]matrixRow, len(order))
	for i, p := range order {
		sorted[i] = m.Rows[p.row]
	}
	m.Left = max(0, len(sorted)-matrixRows)
	m.Rows = sorted[:len(sorted)-m.Left]
	return m
}

// mark returns what became of the step in its run.
func (u use) mark() string {
	switch {
	case u.Failed != "":
		return "failed"
	case u.Hit:
		return "hit"
	case u.Cut:
		return "cut"
	case !u.Done:
		return "unfinished"
	}
	return "run"
}

// environments is what differs in the machines of the first runs.
func environments(rows []boardRow) table {
	rows = rows[:min(len(rows), matrixRuns)]
	t, names := table{Columns: []string{""}}, map[string]bool{}
	for _, r := range rows {
		t.Columns = append(t.Columns, r.ID)
		for k := range r.Env {
			names[k] = true
		}
	}
	add := func(name string, value func(boardRow) string) {
		row, same := []string{name}, true
		for _, r := range rows {
			row = append(row, clip(value(r), 40))
			same = same && value(r) == value(rows[0])
		}
		if !same {
			t.Rows = append(t.Rows, row)
		}
	}
	add("git commit", func(r boardRow) string { return clip(r.GitCommit, 12) })
	for _, k := range slices.Sorted(maps.Keys(names)) {
		add(k, func(r boardRow) string { return r.Env[k] })
	}
	t.Num = make([]bool, len(t.Columns))
	return t
}
