package gpu

// Merge says how an adapter is folded into a weight: see Ops.
type Merge struct {
	Rank  int     // R; 0: there is no adapter, and only the type changes
	Scale float32 // of B·A
	Type  Type    // of what is written: F32, BF16 or F16
	Twice bool    // Δ is rounded to Type too, before it is added
}

// Merged is what a merge did to some weights. The sums are made in float64, in an
// order of the device's own.
type Merged struct {
	Weights          int
	Dot, Delta, Lost float64 // <W'-W, Δ>, |Δ|², |W'-W-Δ|²
	Changed          int     // weights that are other numbers now
	Broken           int     // the first weight that is no finite number, or -1
}

// Add counts the weights of other, which come behind those of m.
func (m *Merged) Add(other Merged) {
	if m.Broken < 0 && other.Broken >= 0 {
		m.Broken = m.Weights + other.Broken
	}
	m.Weights += other.Weights
	m.Dot += other.Dot
	m.Delta += other.Delta
	m.Lost += other.Lost
	m.Changed += other.Changed
}
