package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Dedup says which rows equal an earlier one in the given fields, in all but id and
// parent if none is given. A row without one of the fields is an error.
func Dedup(rows []Row, fields ...string) (gone []bool, err error) {
	gone = make([]bool, len(rows))
	seen := map[string]bool{}
	var b []byte
	for i, r := range rows {
		if b, err = appendKey(b[:0], r, fields); err != nil {
			return nil, fmt.Errorf("dataset: dedup: row %d, %s: %w", i+1, ID(r), err)
		}
		gone[i] = seen[string(b)]
		seen[string(b)] = true
	}
	return gone, nil
}

// appendKey appends what makes rows equal.
func appendKey(b []byte, r Row, fields []string) ([]byte, error) {
	if len(fields) == 0 {
		content := make(Row, len(r))
		for k, v := range r {
			if k != "id" && k != "parent" {
				content[k] = v
			}
		}
		return AppendJSON(b, content)
	}
	for _, f := range fields {
		v, ok := r[f]
		if !ok {
			return nil, fmt.Errorf("no field %q", f)
		}
		var err error
		if b, err = AppendJSON(b, v); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		b = append(b, '\n') // never inside a value
	}
	return b, nil
}

// Sample draws n rows without putting any back; they keep their order. More
// than there are is an error.
func Sample(rows []Row, n int, seed uint64) ([]Row, error) {
	if n < 0 || n > len(rows) {
		return nil, fmt.Errorf("dataset: sample: %d of %d rows cannot be drawn", n, len(rows))
	}
	r := rand.New(rand.NewPCG(seed, 0))
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	for i := range n { // the first n steps of a shuffle
		k := i + r.IntN(len(order)-i)
		order[i], order[k] = order[k], order[i]
	}
	slices.Sort(order[:n])
	drawn := make([]Row, n)
	for i, k := range order[:n] {
		drawn[i] = rows[k]
	}
	return drawn, nil
}
