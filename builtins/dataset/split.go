package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Split deals rows into parts of about the given fractions, which must add up
// to 1. Rows with a common ancestor, by their field parent, go to the same
// part: nothing that is tested was trained on. The draw depends on the seed
// and the ancestors' names alone, so the order of the rows does not matter to
// it; within a part they keep their order. A part that would be empty is an
// error.
func Split(rows []Row, fractions []float64, seed uint64) ([][]Row, error) {
	roots, err := Roots(rows)
	if err != nil {
		return nil, err
	}
	places, err := SplitRoots(roots, fractions, seed)
	if err != nil {
		return nil, err
	}
	parts := make([][]Row, len(places))
	for p, list := range places {
		for _, i := range list {
			parts[p] = append(parts[p], rows[i])
		}
	}
	return parts, nil
}

// SplitRoots is Split where only the Roots of the rows are at hand: it returns the
// places of each part's rows.
func SplitRoots(roots []string, fractions []float64, seed uint64) ([][]int, error) {
	sum := 0.0
	for _, f := range fractions {
		if !(f > 0 && f <= 1) {
			return nil, fmt.Errorf("dataset: split: fraction %v is not between 0 and 1", f)
		}
		sum += f
	}
	if math.Abs(sum-1) > 1e-9 {
		return nil, fmt.Errorf("dataset: split: the fractions add up to %v, not to 1", sum)
	}
	part := deal(roots, fractions, seed)
	parts := make([][]int, len(fractions))
	for i, r := range roots {
		parts[part[r]] = append(parts[part[r]], i)
	}
	for i, p := range parts {
		if len(p) == 0 {
			return nil, fmt.Errorf("dataset: split: part %d of %d is empty: too few rows (%d, families: %d)", i+1, len(parts), len(roots), len(part))
		}
	}
	return parts, nil
}

// deal gives each family, in an order drawn by lot, to the part in which the
// middle of its rows falls.
func deal(roots []string, fractions []float64, seed uint64) map[string]int {
	size := map[string]int{}
	for _, r := range roots {
		size[r]++
	}
	order := slices.Sorted(maps.Keys(size))
	lots := make(map[string]uint64, len(order))
	for _, r := range order {
		lots[r] = lot(seed, r)
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(lots[a], lots[b]) })
	part := make(map[string]int, len(order))
	at, end, dealt := 0, fractions[0], 0
	for _, r := range order {
		middle := (float64(dealt) + float64(size[r])/2) / float64(len(roots))
		for at < len(fractions)-1 && middle > end {
			at++
			end += fractions[at]
		}
		part[r] = at
		dealt += size[r]
	}
	return part
}

// lot draws a number for a name, the same on every machine.
func lot(seed uint64, name string) uint64 {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(name)), seed)
	sum := sha256.Sum256(append(b, name...))
	return binary.BigEndian.Uint64(sum[:])
}

// Roots returns for each row the id of its first ancestor: the last one that
// following the field parent leads to, whether it is among the rows or not; its
// own id if it has no parent. Ancestors in a circle are an error.
func Roots(rows []Row) ([]string, error) {
	parent := map[string]string{}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = ID(r)
		if p := Parent(r); p != "" && p != ids[i] {
			parent[ids[i]] = p
		}
	}
	root := make(map[string]string, len(rows))
	for _, id := range ids {
		if err := climb(id, parent, root); err != nil {
			return nil, err
		}
	}
	for i, id := range ids {
		ids[i] = root[id]
	}
	return ids, nil
}

// climb finds the root of id and of all on the way to it.
func climb(id string, parent, root map[string]string) error {
	var path []string
	for {
		if r, known := root[id]; known {
			id = r
			break
		}
		path = append(path, id)
		if len(path) > len(parent)+1 {
			return fmt.Errorf("dataset: row %s is its own ancestor: mend the field parent", id)
		}
		p, ok := parent[id]
		if !ok {
			break
		}
		id = p
	}
	for _, p := range path {
		root[p] = id
	}
	return nil
}
