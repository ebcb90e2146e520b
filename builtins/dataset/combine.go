package dataset

import "slices"

// Combine puts the rows of all parts one after the other; what to do about clashes is for
// the caller to say. They are the ids that a row has in common with an earlier one that is
// another row: of equal ones one is superfluous, but not wrong. Rows without an id never clash.
func Combine(parts ...[]Row) (all []Row, clashes []string) {
	all = slices.Concat(parts...)
	seen := map[string]Row{}
	for _, r := range all {
		id, ok := Text(r, "id")
		if !ok || id == "" {
			continue
		}
		first, twice := seen[id]
		switch {
		case !twice:
			seen[id] = r
		case !equalValues(first, r):
			clashes = append(clashes, id)
		}
	}
	return all, clashes
}
