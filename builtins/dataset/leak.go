package dataset

import (
	"slices"
	"strings"
)

// An Item is something that a model is evaluated on.
type Item struct {
	ID, Parent string // Parent may be ""
	Text       string // what the model is asked
}

// A Leak is an item that was trained on.
type Leak struct {
	Item int    // among the items, from 0
	How  string // "id", "parent", "exact", "13-gram" or "near"
	Row  string // the id of the training row
}

// howRank is how much a Leak says: of several the first counts.
var howRank = []string{"id", "parent", "exact", "13-gram", "near"}

const (
	leakGram = 13 // words; as in GPT-3's decontamination
	// leakCover is how much of an item must stand in a training row, in grams of
	// leakGram words.
	leakCover = 0.5
	leakNear  = 0.8 // Jaccard similarity
	// boilerplate is in how many items a gram may occur: one that more have in
	// common, an instruction, tells nothing about any.
	boilerplate = 32
)

// Leaks finds the items of an evaluation among the rows that a model was trained
// on, whatever column they stand in.
type Leaks struct {
	items []Item
	ids   map[string][]int // by id and by parent
	exact map[uint64][]int
	grams map[uint64][]place
	size  []int // words of each item
	near  *Near
	found map[int]Leak
}

// place is where a gram stands in an item.
type place struct{ item, at int32 }

// NewLeaks indexes the items.
func NewLeaks(items []Item) *Leaks {
	l := &Leaks{
		items: items, ids: map[string][]int{}, exact: map[uint64][]int{}, grams: map[uint64][]place{},
		near: NewNear(leakNear), found: map[int]Leak{},
	}
	for i, it := range items {
		for _, id := range slices.Compact([]string{it.ID, it.Parent}) {
			if id != "" {
				l.ids[id] = append(l.ids[id], i)
			}
		}
		w := wordsOf(it.Text)
		l.size = append(l.size, len(w))
		l.near.add(w)
		if len(w) == 0 {
			continue
		}
		whole := wholeOf(w)
		l.exact[whole] = append(l.exact[whole], i)
		if len(w) < leakGram {
			continue
		}
		for at, g := range grams(w, leakGram) {
			l.grams[g] = append(l.grams[g], place{int32(i), int32(at)})
		}
	}
	return l
}

// wholeOf hashes all words of a text.
func wholeOf(words []string) uint64 {
	return hash(strings.Join(words, "\x00"))
}

// Row looks for items in a training row. related says that the row's ids are of
// the same book as the items': one set was made from the other, or both from a
// third. Without that, ids that are bare numbers are taken for places in a file.
func (l *Leaks) Row(r Row, related bool) { l.look(r, related, l.note) }

// Of returns what says most of a training row; ok is false if it holds no item.
func (l *Leaks) Of(r Row, related bool) (most Leak, ok bool) {
	l.look(r, related, func(i int, how, id string) {
		d := slices.Index(howRank, how) - slices.Index(howRank, most.How)
		if !ok || d < 0 || d == 0 && i < most.Item {
			most, ok = Leak{i, how, id}, true
		}
	})
	return most, ok
}

// look hands every item that a row holds to note.
func (l *Leaks) look(r Row, related bool, note func(item int, how, row string)) {
	id := ID(r)
	for _, ref := range []struct{ id, how string }{{id, "id"}, {Parent(r), "parent"}} {
		if ref.id == "" || !related && isNumber(ref.id) {
			continue
		}
		for _, i := range l.ids[ref.id] {
			how := ref.how
			if l.items[i].ID != ref.id {
				how = "parent"
			}
			note(i, how, id)
		}
	}
	texts(r, func(text string) {
		w := wordsOf(text)
		if len(w) == 0 {
			return
		}
		for _, i := range l.exact[wholeOf(w)] {
			note(i, "exact", id)
		}
		if len(w) >= leakGram {
			for _, i := range l.covered(w) {
				note(i, "13-gram", id)
			}
		}
		for _, n := range l.near.find(w) {
			note(n.N, "near", id)
		}
	})
}

// texts visits every text of a row but what names it.
func texts(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, x := range v {
			texts(x, visit)
		}
	case map[string]any:
		for k, x := range v {
			if k != "id" && k != "parent" {
				texts(x, visit)
			}
		}
	}
}

// Twins returns how many items equal or nearly equal another item: where many
// do, the set is made from templates, and what is near to a training row need
// not have been made from it.
func (l *Leaks) Twins() int {
	n := 0
	for i, it := range l.items {
		w := wordsOf(it.Text)
		if len(w) == 0 {
			continue
		}
		near := false
		other := func(k int) { near = near || k != i }
		for _, k := range l.exact[wholeOf(w)] {
			other(k)
		}
		for _, t := range l.near.find(w) {
			other(t.N)
		}
		if len(w) >= leakGram {
			for _, k := range l.covered(w) {
				other(k)
			}
		}
		if near {
			n++
		}
	}
	return n
}

// covered returns the items of which enough stands in these words.
func (l *Leaks) covered(w []string) (items []int) {
	at := map[int32][]int32{} // where the common grams begin
	for _, g := range grams(w, leakGram) {
		places := l.grams[g]
		if len(places) > boilerplate {
			continue
		}
		for _, p := range places {
			at[p.item] = append(at[p.item], p.at)
		}
	}
	for item, starts := range at {
		slices.Sort(starts)
		covered, end := 0, int32(0)
		for _, s := range starts {
			covered += int(s + leakGram - max(s, end))
			end = s + leakGram
		}
		if float64(covered) > leakCover*float64(l.size[item]) {
			items = append(items, int(item))
		}
	}
	return items
}

// note keeps the leak of an item that says most, of equals the one of the least id.
func (l *Leaks) note(i int, how, row string) {
	old, ok := l.found[i]
	if ok {
		d := slices.Index(howRank, how) - slices.Index(howRank, old.How)
		if d > 0 || d == 0 && row >= old.Row {
			return
		}
	}
	l.found[i] = Leak{i, how, row}
}

// Found returns the items that were found, in their order.
func (l *Leaks) Found() []Leak {
	out := make([]Leak, 0, len(l.found))
	for _, f := range l.found {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Leak) int { return a.Item - b.Item })
	return out
}

func isNumber(id string) bool {
	return strings.Trim(id, "0123456789.-") == ""
}
