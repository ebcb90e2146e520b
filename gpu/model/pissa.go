package model

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"starbook/gpu/safetensors"
)

// PiSSA is an Init as in Meng, Wang, Zhang 2024: A and B begin as the principal part of
// each targeted matrix, which the base gives up while it is trained. What is saved is for
// the whole base again: an adapter of twice the rank, B·A - B₀·A₀, as PEFT converts it.
const PiSSA = "pissa"

// Principal returns what an adapter begins with where l.Init is PiSSA: its A and B, in the
// order of its tensors, are the principal parts of what l targets in m. It takes minutes
// for billions of weights, and is a function of the weights, the ranks and the scales.
func Principal(m *Transformer, l LoRA) ([]float32, error) {
	modules, err := l.modules(m.Config)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	tensors, _, n := factorsOf(modules)
	first := make([]float32, n)
	for i, mod := range modules {
		values, _, err := m.unquantised(mod)
		if err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
		if !m.outline {
			mod.factors(first, tensors[i], tensors[len(modules)+i]).of(values, mod.out, mod.in)
		}
	}
	return first, nil
}

// NewPrincipal returns the adapter that begins with first, as Principal returned it, and
// leaves m the rest, rounded to the types that its weights have.
func NewPrincipal(m *Transformer, l LoRA, first []float32) (*Adapter, error) {
	a, err := layAdapter(m.dev, m.Config, l)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	a.first = first
	err = a.Params.Write(first)
	for i, mod := range a.modules {
		if err == nil {
			err = m.giveUp(mod, mod.factors(first, a.Params.Tensors[i], a.Params.Tensors[len(a.modules)+i]))
		}
	}
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("model: %w", err)
	}
	return a, nil
}

// target returns the weights of mod.
func (m *Transformer) target(mod module) *weight {
	if mod.layer < 0 {
		return m.heads[0]
	}
	return m.layers[mod.layer].proj[mod.proj]
}

// unquantised returns the weights of mod, nil of an outline, and the type that they have in the file.
func (m *Transformer) unquantised(mod module) (values []float32, dtype string, err error) {
	w := m.target(mod)
	t := safetensors.Tensor{DType: "F32"} // of a model that comes from no file
	if m.files != nil {
		t, _ = m.files.Tensor(w.name)
	}
	if m.rounded || !slices.Contains([]string{"F32", "BF16", "F16"}, t.DType) {
		return nil, "", fmt.Errorf("lora: pissa takes %s apart, which is quantised: train on the base as it was before", w.name)
	}
	if r := min(mod.out, mod.in); mod.rank > r {
		return nil, "", fmt.Errorf("lora: pissa: r is %d, and %s has %d singular values", mod.rank, w.name, r)
	}
	if m.outline {
		return nil, t.DType, nil
	}
	values = make([]float32, w.len())
	m.dev.Download(values, w.w)
	return values, t.DType, m.dev.Sync()
}

// giveUp takes f from the weights of mod.
func (m *Transformer) giveUp(mod module, f factors) error {
	values, dtype, err := m.unquantised(mod)
	if err != nil {
		return err
	}
	w := m.target(mod)
	rest := safetensors.Tensor{Name: w.name, DType: dtype, Shape: w.shape()}
	if m.outline {
		n, _ := typeOf(dtype)
		rest.Data = make([]byte, n.Bytes(w.len()))
	} else {
		f.leave(values)
		if rest.Data, err = safetensors.AppendF32(nil, dtype, values); err != nil {
			return err
		}
	}
	m.dev.Free(w.w)
	w.w, err = place(m.dev, rest)
	return err
}

// factors are a part of a matrix, scale·b·a: a (rank, in), b (out, rank).
type factors struct {
	a, b  []float32
	rank  int
	scale float32
}

// factors returns the parts of values that are A and B of mod.
func (mod module) factors(values []float32, a, b Tensor) factors {
	return factors{a: values[a.From:][:a.Len()], b: values[b.From:][:b.Len()], rank: mod.rank, scale: mod.scale}
}

// of sets f to the principal part of w (out, in).
func (f factors) of(w []float32, out, in int) {
	left, sigma, right := svd(w, out, in, f.rank)
	for t, s := range sigma {
		root := math.Sqrt(s / float64(f.scale))
		for j, v := range right[t] {
			f.a[t*in+j] = float32(root * v)
		}
		for i, v := range left[t] {
			f.b[i*f.rank+t] = float32(root * v)
		}
	}
}

// leave takes f from w (out, in).
func (f factors) leave(w []float32) {
	in := len(f.a) / f.rank
	each(len(f.b)/f.rank, func(i int) {
		row := w[i*in:][:in]
		for j := range row {
			var sum float64
			for t := range f.rank {
				sum += float64(f.b[i*f.rank+t]) * float64(f.a[t*in+j])
			}
			row[j] = float32(float64(row[j]) - float64(f.scale)*sum)
		}
	})
}

// A subspace of so many vectors, at least, is iterated so many times: as with
// pissa_niter_4 of PEFT, what is found is the principal part to a few per cent of its
// smallest values. A matrix with no more rows or columns than that is taken apart exactly.
const (
	svdSpace      = 64
	svdSpare      = 16
	svdIterations = 4
)

// svd returns the r largest singular values of w (out, in), with their vectors, by block
// power iteration (Halko, Martinsson, Tropp 2011, algorithm 4.4). It is computed on the
// host in float64 and in a fixed order, so that every device begins with the same bits.
func svd(w []float32, out, in, r int) (left [][]float64, sigma []float64, right [][]float64) {
	rows, cols := make([][]float64, out), make([][]float64, in)
	for i := range rows {
		rows[i] = make([]float64, in)
		for j := range rows[i] {
			rows[i][j] = float64(w[i*in+j])
		}
	}
	for j := range cols {
		cols[j] = make([]float64, out)
		for i := range cols[j] {
			cols[j][i] = rows[i][j]
		}
	}
	random := rand.New(rand.NewPCG(0, 0))
	x := make([][]float64, min(out, in, max(r+svdSpare, svdSpace)))
	for t := range x {
		x[t] = make([]float64, in)
		for j := range x[t] {
			x[t][j] = random.NormFloat64()
		}
	}
	y := dots(rows, x)
	for range svdIterations {
		orthonormalise(y, 1)
		x = dots(cols, y)
		orthonormalise(x, 1)
		y = dots(rows, x)
	}
	orthonormalise(y, 2)
	x = dots(cols, y) // w = y·x, but for what is outside of the subspace
	values, vectors := eigen(dots(x, x))
	order := make([]int, len(values))
	for t := range order {
		order[t] = t
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	for _, t := range order[:r] {
		s := math.Sqrt(max(0, values[t]))
		u, v := make([]float64, out), make([]float64, in)
		for k, c := range vectors[t] {
			axpy(u, y[k], c)
			if s > 0 {
				axpy(v, x[k], c/s)
			}
		}
		left, sigma, right = append(left, u), append(sigma, s), append(right, v)
	}
	return left, sigma, right
}

// dots returns the products of every vector of x with all rows.
func dots(rows, x [][]float64) [][]float64 {
	out := make([][]float64, len(x))
	for t := range out {
		out[t] = make([]float64, len(rows))
	}
	each(len(rows), func(i int) {
		for t, v := range x {
			out[t][i] = dot(rows[i], v)
		}
	})
	return out
}

// each calls f for 0 to n-1, on all processors.
func each(n int, f func(i int)) {
	var group sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for k := range workers {
		group.Go(func() {
			for i := n * k / workers; i < n*(k+1)/workers; i++ {
				f(i)
			}
		})
	}
	group.Wait()
}

func dot(x, y []float64) float64 {
	var a, b, c, d float64
	y = y[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a, b, c, d = a+x[i]*y[i], b+x[i+1]*y[i+1], c+x[i+2]*y[i+2], d+x[i+3]*y[i+3]
	}
	for ; i < len(x); i++ {
		a += x[i] * y[i]
	}
	return a + b + (c + d)
}

// axpy adds c·x to y.
func axpy(y, x []float64, c float64) {
	for i := range y {
		y[i] += c * x[i]
	}
}

// orthonormalise makes vectors orthogonal and of length 1, those that depend on the
// others zero: Gram and Schmidt. Done twice it is so to the last bits.
func orthonormalise(x [][]float64, times int) {
	for t, v := range x {
		before := math.Sqrt(dot(v, v))
		for range times {
			for _, u := range x[:t] {
				axpy(v, u, -dot(u, v))
			}
		}
		length := math.Sqrt(dot(v, v))
		if length <= 1e-12*before {
			clear(v)
			continue
		}
		for i := range v {
			v[i] /= length
		}
	}
}

// eigen returns the eigenvalues of a symmetric matrix, which it destroys, and a vector of
// length 1 for each: Jacobi's method.
func eigen(g [][]float64) (values []float64, vectors [][]float64) {
	n := len(g)
	vectors = make([][]float64, n)
	for i := range vectors {
		vectors[i] = make([]float64, n)
		vectors[i][i] = 1
	}
	small := 0.0 // what rounding leaves of a matrix that is diagonal
	for i := range g {
		small = max(small, 1e-15*math.Abs(g[i][i]))
	}
	for turned := true; turned; {
		turned = false
		for p := range n {
			for q := p + 1; q < n; q++ {
				if math.Abs(g[p][q]) <= small {
					continue
				}
				turned = true
				angle := 0.5 * math.Atan2(2*g[p][q], g[q][q]-g[p][p])
				sin, cos := math.Sincos(angle)
				for k := range n {
					g[k][p], g[k][q] = cos*g[k][p]-sin*g[k][q], sin*g[k][p]+cos*g[k][q]
				}
				rotate(g[p], g[q], sin, cos)
				rotate(vectors[p], vectors[q], sin, cos)
			}
		}
	}
	for i := range g {
		values = append(values, g[i][i])
	}
	return values, vectors
}

func rotate(x, y []float64, sin, cos float64) {
	for k := range x {
		x[k], y[k] = cos*x[k]-sin*y[k], sin*x[k]+cos*y[k]
	}
}

// whole returns l as what is saved of it says, with twice the rank at the same scale.
func (l LoRA) whole() LoRA {
	if l.Init != PiSSA {
		return l
	}
	l.Init, l.Rank, l.Ranks, l.Alphas = "", 2*l.Rank, maps.Clone(l.Ranks), maps.Clone(l.Alphas)
	for key := range l.Ranks {
		l.Ranks[key] *= 2
	}
	for key := range l.Alphas {
		l.Alphas[key] *= 2
	}
	if l.RSLoRA {
		l.Alpha *= math.Sqrt2
	} else {
		l.Alpha *= 2
	}
	return l
}

// whole returns a tensor of a, whose values are given, for the whole base: below A stands
// A₀, and beside B stands -B₀.
func (a *Adapter) whole(t Tensor, values []float32) (Tensor, []float32) {
	values = values[t.From:][:t.Len()]
	if a.first == nil {
		return t, values
	}
	first := a.first[t.From:][:t.Len()]
	rows, cols := t.Shape[0], t.Shape[1]
	if t.From < a.Params.Split {
		t.Shape = []int{2 * rows, cols}
		return t, slices.Concat(values, first)
	}
	t.Shape = []int{rows, 2 * cols}
	var both []float32
	for i := range rows {
		both = append(both, values[i*cols:][:cols]...)
		for _, v := range first[i*cols:][:cols] {
			both = append(both, -v)
		}
	}
	return t, both
}
