package dataset

// A Source is rows with the name that reports call them.
type Source struct {
	Name string
	Rows []Row
}

// Combined says what Combine found.
type Combined struct {
	Counts  []Count // rows of each source, in the order given
	Clashes []Clash // in the order of their second row
}

// A Count is how many rows have a name or value.
type Count struct {
	Key string
	N   int
}

// A Clash is an id of two rows. Rows without an id never clash.
type Clash struct {
	ID            string
	First, Second string // their sources
	Same          bool   // the rows are equal: one is superfluous, but not wrong
}

// Combine puts the rows of all sources one after the other. Every row is
// kept; what to do about clashes is for the caller to say.
func Combine(sources ...Source) ([]Row, Combined) {
	type place struct {
		row    Row
		source string
	}
	var all []Row
	var found Combined
	seen := map[string]place{}
	for _, s := range sources {
		found.Counts = append(found.Counts, Count{s.Name, len(s.Rows)})
		for _, r := range s.Rows {
			all = append(all, r)
			id, ok := Text(r, "id")
			if !ok || id == "" {
				continue
			}
			if first, twice := seen[id]; twice {
				found.Clashes = append(found.Clashes, Clash{id, first.source, s.Name, equal(first.row, r)})
			} else {
				seen[id] = place{r, s.Name}
			}
		}
	}
	return all, found
}

func equal(a, b Row) bool {
	x, errX := AppendJSON(nil, a)
	y, errY := AppendJSON(nil, b)
	return errX == nil && errY == nil && string(x) == string(y)
}
