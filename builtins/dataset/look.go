package dataset

import (
	"cmp"
	"slices"
)

// A Count is how many rows have a value.
type Count struct {
	Key string
	N   int
}

// CountBy counts the rows by the value of a field, the most frequent first, of
// equals by value. Text stands as it is, other values as JSON. missing is how
// many rows lack the field.
func CountBy(rows []Row, field string) (groups []Count, missing int) {
	n := map[string]int{}
	var b []byte
	for _, r := range rows {
		v, ok := r[field]
		if !ok {
			missing++
			continue
		}
		if s, isText := v.(string); isText {
			n[s]++
			continue
		}
		b, _ = AppendJSON(b[:0], v)
		n[string(b)]++
	}
	for k, c := range n {
		groups = append(groups, Count{k, c})
	}
	slices.SortFunc(groups, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Key, b.Key))
	})
	return groups, missing
}
