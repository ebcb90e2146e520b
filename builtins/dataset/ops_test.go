package dataset

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// family makes n items of which each has children, and those have children.
func family(n int) []Row {
	var rows []Row
	for i := range n {
		item := fmt.Sprintf("t-%d", i)
		rows = append(rows, Row{"id": item, "text": item})
		for k := range i % 4 {
			child := fmt.Sprintf("%s/d%d", item, k)
			rows = append(rows, Row{"id": child, "parent": item, "text": child}, Row{"id": child + "/r", "parent": child, "text": child + " back"})
		}
	}
	return rows
}

func TestSplit(t *testing.T) {
	rows := family(500)
	parts, err := Split(rows, []float64{0.8, 0.1, 0.1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	side := map[string]int{}
	total := 0
	for p, part := range parts {
		total += len(part)
		if share := float64(len(part)) / float64(len(rows)); share < 0.08 || share > 0.82 {
			t.Errorf("part %d has %v of the rows", p, share)
		}
		for _, r := range part {
			item, _, _ := strings.Cut(ID(r), "/")
			if other, seen := side[item]; seen && other != p {
				t.Errorf("%s is in parts %d and %d", item, other, p)
			}
			side[item] = p
		}
	}
	if total != len(rows) {
		t.Errorf("%d of %d rows", total, len(rows))
	}
	again, _ := Split(rows, []float64{0.8, 0.1, 0.1}, 1)
	other, _ := Split(rows, []float64{0.8, 0.1, 0.1}, 2)
	if !reflect.DeepEqual(parts, again) || reflect.DeepEqual(parts, other) {
		t.Error("the seed does not decide")
	}
	slices.Reverse(rows)
	reversed, _ := Split(rows, []float64{0.8, 0.1, 0.1}, 1)
	slices.Reverse(reversed[1])
	if !reflect.DeepEqual(parts[1], reversed[1]) {
		t.Error("the order of the rows decides")
	}
}

func TestSplitRefuses(t *testing.T) {
	circle := []Row{{"id": "a", "parent": "b"}, {"id": "b", "parent": "c"}, {"id": "c", "parent": "b"}}
	for _, c := range []struct {
		rows      []Row
		fractions []float64
		want      string
	}{
		{family(9), []float64{0.5, 0.4}, "add up to 0.9"},
		{family(9), nil, "add up to 0"},
		{family(9), []float64{1.5, -0.5}, "not between"},
		{family(1), []float64{0.5, 0.5}, "part 2 of 2 is empty: too few rows (1, families: 1)"},
		{circle, []float64{1}, "its own ancestor"},
	} {
		if _, err := Split(c.rows, c.fractions, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestRoots(t *testing.T) {
	rows := []Row{
		{"id": "c", "parent": "b"},
		{"id": "b", "parent": "a"},
		{"id": "a"},
		{"id": "x", "parent": "gone"},
		{"id": "self", "parent": "self"},
		{"id": 5},
		{"parent": 5, "text": "y"},
	}
	got, err := Roots(rows)
	if want := []string{"a", "a", "a", "gone", "self", "5", "5"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, err)
	}
}

func TestCombine(t *testing.T) {
	a, twin, other := Row{"id": "a", "n": 1}, Row{"n": 1, "id": "a"}, Row{"id": "a", "n": 2}
	all, clashes := Combine([]Row{a, {"n": 3}}, []Row{other, {"n": 3}}, []Row{twin})
	if want := []Row{a, {"n": 3}, other, {"n": 3}, twin}; !reflect.DeepEqual(all, want) || !slices.Equal(clashes, []string{"a"}) {
		t.Errorf("%v, clashes %v", all, clashes)
	}
}

func TestDedup(t *testing.T) {
	rows := []Row{{"id": "1", "q": "a", "n": 1}, {"id": "2", "q": "a", "n": 2}, {"id": "3", "q": "b", "n": 1}, {"id": "4", "n": 1, "q": "a"}}
	if gone, err := Dedup(rows, "q"); err != nil || !slices.Equal(gone, []bool{false, true, false, true}) {
		t.Errorf("%v %v", gone, err)
	}
	if gone, err := Dedup(rows); err != nil || !slices.Equal(gone, []bool{false, false, false, true}) {
		t.Errorf("%v %v", gone, err)
	}
	if _, err := Dedup([]Row{{"q": "a"}, {"r": "b", "id": "z"}}, "q"); err == nil || err.Error() != `dataset: dedup: row 2, z: no field "q"` {
		t.Error(err)
	}
	// two fields are not one text
	if gone, err := Dedup([]Row{{"a": "x", "b": "yz"}, {"a": "xy", "b": "z"}}, "a", "b"); err != nil || gone[1] {
		t.Error("different rows were taken for equal", err)
	}
}

func TestSample(t *testing.T) {
	rows := family(100)
	a, err := Sample(rows, 30, 7)
	b, _ := Sample(rows, 30, 7)
	c, _ := Sample(rows, 30, 8)
	if err != nil || len(a) != 30 || !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Error("the seed does not decide", err)
	}
	at := -1
	for _, r := range a {
		i := slices.IndexFunc(rows, func(x Row) bool { return ID(x) == ID(r) })
		if i <= at {
			t.Fatal("out of order, or drawn twice")
		}
		at = i
	}
	if all, err := Sample(rows, len(rows), 1); err != nil || !reflect.DeepEqual(all, rows) {
		t.Error("all rows are not all rows", err)
	}
	for _, n := range []int{-1, len(rows) + 1} {
		if _, err := Sample(rows, n, 1); err == nil {
			t.Errorf("drew %d", n)
		}
	}
}

func TestLooking(t *testing.T) {
	rows := []Row{{"k": "b"}, {"k": "a"}, {"k": "b"}, {"k": true}, {"k": nil}, {"j": 1}, {"k": "a"}}
	groups, missing := CountBy(rows, "k")
	if want := []Count{{"a", 2}, {"b", 2}, {"null", 1}, {"true", 1}}; missing != 1 || !slices.Equal(groups, want) {
		t.Errorf("%v, %d missing", groups, missing)
	}
}

// read(write(x)) == x, for rows of any shape.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var rows []Row
	for range 300 {
		rows = append(rows, randomRow(r, 3))
	}
	var b bytes.Buffer
	if err := Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	first := b.String()
	again, err := Collect(JSONL(&b, "x"))
	if err != nil || !reflect.DeepEqual(rows, again) {
		t.Fatal("rows changed on the way", err)
	}
	if Write(&b, again); b.String() != first {
		t.Error("the same rows, other bytes")
	}
	if err := Write(&b, []Row{{"a": "x"}, {"a": "\xff"}}); err == nil || err.Error() != "dataset: row 2: a: text is not UTF-8" {
		t.Error(err)
	}
}

func randomRow(r *rand.Rand, depth int) Row {
	row := Row{}
	for range r.IntN(5) {
		row[randomText(r)] = randomValue(r, depth)
	}
	return row
}

func randomValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(7); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		v, _ := float(r.NormFloat64()*1e10, 64)
		return v
	case n == 3 && depth > 0:
		return randomRow(r, depth-1)
	case n == 4 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, randomValue(r, depth-1))
		}
		return list
	}
	return randomText(r)
}

func randomText(r *rand.Rand) string {
	alphabet := []rune("ab \"\\/\n\t\r\x00\x1f\x7fäß\u2028日🙂<>&")
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}
