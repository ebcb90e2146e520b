package reports

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLook writes the fixture's pages to the folder in STARBOOK_LOOK, for a
// person to look at.
func TestLook(t *testing.T) {
	dir := os.Getenv("STARBOOK_LOOK")
	if dir == "" {
		t.Skip("STARBOOK_LOOK names no folder")
	}
	f := newFixture(t)
	one := f.run(trial{id: "1f3a9c0d", lr: 2e-3, patience: 3, loss: 0.35, share: 0.80, ended: true})
	runs := []string{one}
	for i, lr := range []float64{5e-4, 1e-3, 4e-3, 8e-3} {
		tr := trial{id: string("abcd"[i]) + "0a1b2c3", lr: lr, patience: 3, loss: 0.42 - 0.02*float64(i%3), share: 0.77 + 0.012*float64(i%3), hits: true, ended: true}
		if i == 3 {
			tr.patience = 6
			tr.text = script + "print('once more')\n"
		}
		runs = append(runs, f.run(tr))
	}
	for name, ids := range map[string][]string{"one.html": {one}, "hits.html": {runs[1]}, "sweep.html": {f.sweep()}, "compare.html": runs} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(f.page(ids...)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
