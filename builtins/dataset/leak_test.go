package dataset

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// question makes a text of n words that occurs nowhere else.
func question(r *rand.Rand, n int) string {
	w := make([]string, n)
	for i := range w {
		w[i] = fmt.Sprintf("w%d", r.IntN(3000))
	}
	return strings.Join(w, " ") + "?"
}

// altered is a near-duplicate: other spelling, an instruction around it, a word
// changed at either end.
func altered(r *rand.Rand, text string) string {
	w := strings.Fields(text)
	switch r.IntN(4) {
	case 0:
		return strings.ToUpper(strings.Join(w, "  ")) + " !"
	case 1:
		return "Solve this, step by step: " + text + " Explain how you found it."
	case 2:
		w[r.IntN(3)] = "altered"
		w[len(w)-1-r.IntN(3)] = "changed"
		return strings.Join(w, " ")
	}
	return strings.Join(append(w[2:], "and", "why"), ", ")
}

func TestPlantedLeaksAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 800
	var items []Item
	for i := range n {
		items = append(items, Item{ID: fmt.Sprintf("q-%d", i), Parent: fmt.Sprintf("family-%d", i), Text: question(r, 20+r.IntN(40))})
	}
	plant := map[string]func(i int) Row{
		"id":     func(i int) Row { return Row{"id": items[i].ID, "prompt": "quite another text"} },
		"parent": func(i int) Row { return Row{"id": "x", "parent": items[i].ID, "prompt": "rewritten altogether"} },
		"twin":   func(i int) Row { return Row{"id": "y", "parent": items[i].Parent, "prompt": "a sister of it"} },
		"exact": func(i int) Row {
			return Row{"prompt": "Given the answer, ask the question.", "completion": strings.ToUpper(items[i].Text)}
		},
		"near": func(i int) Row { return Row{"prompt": altered(r, items[i].Text), "completion": "42"} },
		"nested": func(i int) Row {
			return Row{"messages": []any{map[string]any{"role": "user", "content": items[i].Text}}}
		},
	}
	want := map[string]string{"id": "id", "parent": "parent", "twin": "parent", "exact": "exact", "nested": "exact"}
	missed := map[string]int{}
	for kind, row := range plant {
		l := NewLeaks(items)
		for range 300 { // innocent rows
			l.Row(Row{"prompt": question(r, 40), "completion": question(r, 10)}, false)
		}
		if f := l.Found(); len(f) != 0 {
			t.Fatalf("innocent rows leak %v", f)
		}
		for i := 0; i < n; i += 2 {
			l.Row(row(i), false)
		}
		found := map[int]string{}
		for _, f := range l.Found() {
			found[f.Item] = f.How
			if f.Item%2 == 1 {
				t.Errorf("%s: item %d was not planted: %v", kind, f.Item, f)
			}
		}
		for i := 0; i < n; i += 2 {
			if found[i] == "" || want[kind] != "" && found[i] != want[kind] {
				missed[kind]++
			}
		}
	}
	for kind, m := range missed {
		if kind != "near" || m > n/2/100 { // 1 % of the near ones may be missed
			t.Errorf("%s: %d of %d planted leaks missed", kind, m, n/2)
		}
	}
}

// Row numbers say nothing where the two sets have nothing to do with each other.
func TestNumbersAreNoNames(t *testing.T) {
	items := []Item{{ID: "7", Text: "how many apples"}}
	for _, related := range []bool{false, true} {
		l := NewLeaks(items)
		l.Row(Row{"id": json.Number("7"), "prompt": "what is the capital of France"}, related)
		if got := len(l.Found()) == 1; got != related {
			t.Errorf("related %t: found %v", related, l.Found())
		}
	}
}

func TestBoilerplateIsNoLeak(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	const instruction = "Read the question below with care, think about it step by step, and then write the final answer on a line of its own. "
	var items []Item
	for i := range 100 {
		items = append(items, Item{ID: fmt.Sprintf("q%d", i), Text: instruction + question(r, 12)})
	}
	l := NewLeaks(items)
	for range 500 {
		l.Row(Row{"prompt": instruction + question(r, 12)}, false)
	}
	if f := l.Found(); len(f) > 0 {
		t.Errorf("an instruction that all share leaks: %v", f)
	}
}

func TestNearIsExactJaccard(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var texts []string
	var sets [][]uint32
	n := NewNear(0.7)
	for range 300 {
		text := question(r, 40)
		texts, sets = append(texts, text), append(sets, set(grams(wordsOf(text), nearGram)))
		n.Add(text)
	}
	for _, text := range texts {
		w := strings.Fields(text)
		for i := range r.IntN(3) {
			w[5*i] = "else"
		}
		other := strings.Join(w, " ")
		var want []NearText
		own := set(grams(wordsOf(other), nearGram))
		for i := range texts {
			if j := jaccard(own, sets[i]); j >= 0.7 {
				want = append(want, NearText{i, j})
			}
		}
		if got := n.Find(other); !slices.Equal(got, want) {
			t.Errorf("%q is near to %v, want %v", other, got, want)
		}
	}
}

// At most 0.5 % of GSM8K's test items are taken for trained ones when its own
// training set is. STARBOOK_GSM8K names the folder.
func TestFalseAlarmsOnGSM8K(t *testing.T) {
	dir := os.Getenv("STARBOOK_GSM8K")
	if dir == "" {
		t.Skip("STARBOOK_GSM8K names no folder")
	}
	read := func(name string) (rows []Row) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			var r Row
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, r)
		}
		return rows
	}
	test, train := read("test.jsonl"), read("train.jsonl")
	var items []Item
	for _, r := range test {
		items = append(items, Item{ID: ID(r), Text: r["question"].(string)})
	}
	l := NewLeaks(items)
	for _, r := range train {
		l.Row(r, false)
	}
	found := l.Found()
	for _, f := range found {
		t.Logf("%s: %s", f.How, items[f.Item].Text)
	}
	t.Logf("%d of %d items", len(found), len(items))
	if len(found)*200 > len(items) {
		t.Errorf("%d of %d items, more than 0.5 %%", len(found), len(items))
	}
	// Planted, every one of them is found.
	for i, r := range test {
		l := NewLeaks(items[i : i+1])
		l.Row(Row{"prompt": altered(rand.New(rand.NewPCG(uint64(i), 0)), r["question"].(string))}, false)
		if len(l.Found()) == 0 {
			t.Logf("planted and missed: %s", r["question"])
		}
	}
}
