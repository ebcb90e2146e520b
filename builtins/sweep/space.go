// Package sweep proposes the settings of a sweep's trials and ends those that are not worth their
// end. A sampler is a pure function of its seed and of what earlier trials came to, a pruner of
// their losses: 25 trials and then 25 more are the same as 50, and a killed sweep goes on with the
// same decisions.
package sweep

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// Dimension is one setting and the values that it may take: one of Choices, or a
// number from Low to High.
type Dimension struct {
	Name      string
	Choices   []any // bool, int64, float64 or string; nil for a range
	Low, High float64
	Log       bool // equal steps are equal factors
	Whole     bool // whole numbers, both ends included
}

// Space is the settings that a sweep varies.
type Space []Dimension

// Point is one value for each dimension of a Space: a bool, int64, float64 or string.
type Point []any

// Check says what makes no sense in a Space.
func (s Space) Check() error {
	if len(s) == 0 {
		return errors.New("nothing to vary: give each setting a list or a range")
	}
	seen := map[string]bool{}
	for _, d := range s {
		switch {
		case seen[d.Name]:
			return fmt.Errorf("%s is given twice", d.Name)
		case d.Choices != nil && len(d.Choices) == 0:
			return fmt.Errorf("%s: an empty list", d.Name)
		case d.Choices != nil:
		case !(d.Low < d.High) || math.IsInf(d.High-d.Low, 0):
			return fmt.Errorf("%s: a range from %g to %g", d.Name, d.Low, d.High)
		case d.Log && d.Low <= 0:
			return fmt.Errorf("%s: a logarithmic range begins above 0, not at %g", d.Name, d.Low)
		}
		seen[d.Name] = true
	}
	return nil
}

// Size returns the number of points, 0 if a range makes them countless.
func (s Space) Size() int {
	n := 1
	for _, d := range s {
		k := d.size()
		if k == 0 || n > math.MaxInt32/k {
			return 0
		}
		n *= k
	}
	return n
}

func (d Dimension) size() int {
	switch {
	case d.Choices != nil:
		return len(d.Choices)
	case d.Whole && d.High-d.Low < math.MaxInt32:
		return int(d.High-d.Low) + 1
	}
	return 0
}

// At returns the i-th point of a countable Space, the last dimension fastest.
func (s Space) At(i int) Point {
	p := make(Point, len(s))
	for k := len(s) - 1; k >= 0; k-- {
		n := s[k].size()
		p[k] = s[k].nth(i % n)
		i /= n
	}
	return p
}

func (d Dimension) nth(i int) any {
	if d.Choices != nil {
		return d.Choices[i]
	}
	return int64(d.Low) + int64(i)
}

// Draw returns a random point.
func (s Space) Draw(r *rand.Rand) Point {
	p := make(Point, len(s))
	for k, d := range s {
		if n := d.size(); n > 0 && !d.Log {
			p[k] = d.nth(r.IntN(n))
			continue
		}
		lo, hi := d.scale()
		p[k] = d.value(lo + r.Float64()*(hi-lo))
	}
	return p
}

// scale returns the ends of a range on the axis on which it is even. The ends of
// whole numbers reach half a step further, so that all have equal room.
func (d Dimension) scale() (lo, hi float64) {
	lo, hi = d.Low, d.High
	if d.Whole {
		lo, hi = lo-0.5, hi+0.5
	}
	if d.Log {
		lo, hi = math.Log(lo), math.Log(hi)
	}
	return lo, hi
}

// position is where a value of a range lies on that axis.
func (d Dimension) position(v any) float64 {
	var x float64
	switch v := v.(type) {
	case int64:
		x = float64(v)
	case float64:
		x = v
	}
	if d.Log {
		return math.Log(x)
	}
	return x
}

// value is the inverse of position.
func (d Dimension) value(x float64) any {
	if d.Log {
		x = math.Exp(x)
	}
	if d.Whole {
		return int64(min(max(math.Round(x), d.Low), d.High))
	}
	return min(max(x, d.Low), d.High)
}

// key tells points apart.
func (p Point) key() string {
	var b strings.Builder
	for _, v := range p {
		fmt.Fprintf(&b, "%T %v\n", v, v)
	}
	return b.String()
}
