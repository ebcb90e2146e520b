package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"starbook/runtime/store"
)

// TestWatch saves a notebook as editors do, while it is watched.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	path, a := filepath.Join(dir, "nb.star"), &app{storeDir: filepath.Join(dir, "store")}
	save := func(name, text string) { // another file, renamed
		t.Helper()
		tmp := filepath.Join(dir, "nb.star~")
		if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	const head = "load(\"lib.star\", \"twice\")\na = data.rows([{\"n\": 1}])\n"
	save("lib.star", "def twice(r):\n    return [r, r]\n")
	save("nb.star", head+"b = data.map(a, twice)\n")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.watch(ctx, path, runFlags{noReport: true}) }()

	// until waits for the n-th run to have a status and returns it.
	until := func(n int, want store.Status) store.Run {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if st, err := store.OpenReadOnly(a.storeDir); err == nil {
				runs, err := st.Runs(0)
				st.Close()
				if err == nil && len(runs) >= n && runs[len(runs)-n].Status == want {
					return runs[len(runs)-n]
				}
			}
			if time.Now().After(end) {
				t.Fatalf("run %d is not %s after half a minute", n, want)
			}
		}
	}
	hits := func(r store.Run) (hits, all int) {
		t.Helper()
		s, err := a.open(false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		uses, err := s.Uses(r.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range uses {
			if u.Hit {
				hits++
			}
		}
		return hits, len(uses)
	}

	until(1, store.Done)
	save("nb.star", head+"b = data.map(a, lambda r: [r] * 3)\n")
	if h, all := hits(until(2, store.Done)); h != 1 || all != 2 {
		t.Errorf("after an edit of the second step %d of %d steps were hits", h, all)
	}

	save("nb.star", head+"b = data.map(a,\n") // half saved
	time.Sleep(5 * watchEvery)
	save("nb.star", head+"b = data.map(a, twice)\nwhile True:\n    pass\n")
	until(3, store.Running)
	save("nb.star", head+"b = data.map(\n") // does not stop it
	time.Sleep(5 * watchEvery)
	until(3, store.Running)
	save("nb.star", head+"b = data.map(a, twice)\n")
	until(3, store.Interrupted)
	if h, all := hits(until(4, store.Done)); h != all {
		t.Errorf("nothing is new, and %d of %d steps were hits", h, all)
	}

	save("lib.star", "def twice(r):\n    return [r] * 2\n")
	if h, all := hits(until(5, store.Done)); h != 1 || all != 2 {
		t.Errorf("after an edit of the library %d of %d steps were hits", h, all)
	}
	time.Sleep(5 * watchEvery) // and is quiet now
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	st, err := a.open(false)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if runs, err := st.Runs(0); err != nil || len(runs) != 5 {
		t.Errorf("%d runs, %v: want 5", len(runs), err)
	}
}
