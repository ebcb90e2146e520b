//go:build cuda && linux && amd64

package cuda

import (
	"strings"
	"unsafe"

	"starbook/gpu"
	"starbook/gpu/cuda/internal/libs"
)

// workspaceSize is what cuBLASLt may use for one product, in bytes.
const workspaceSize = 32 << 20

// gemms remembers how each product is computed.
type gemms struct {
	workspace unsafe.Pointer
	plans     map[libs.Shape]*libs.Plan
	classes   map[libs.Shape]*libs.Plan
}

func (g *gemms) open(d *device) error {
	g.plans, g.classes = make(map[libs.Shape]*libs.Plan), make(map[libs.Shape]*libs.Plan)
	g.workspace = d.room(workspaceSize)
	return d.err
}

func (g *gemms) close() {
	for _, list := range []map[libs.Shape]*libs.Plan{g.plans, g.classes} {
		for _, p := range list {
			p.Drop()
		}
	}
	*g = gemms{}
}

// typicalRows is how many rows an algorithm is chosen for.
const typicalRows = 1024

// plan returns how to compute s. Shapes that differ in their number of rows
// only, N here, share one algorithm that does not sum in parts: so a row of a
// result does not depend on which others share the batch.
func (g *gemms) plan(lt *libs.Lt, s libs.Shape) (*libs.Plan, error) {
	if p := g.plans[s]; p != nil {
		return p, nil
	}
	class := s
	class.N = typicalRows
	if s.TransB { // then the rows lie side by side
		class.B = max(class.B, class.N)
	}
	like := g.classes[class]
	if like == nil {
		var err error
		if like, err = lt.Plan(class, workspaceSize, nil); err != nil {
			return nil, err
		}
		g.classes[class] = like
	}
	p, err := lt.Plan(s, workspaceSize, like)
	if err == nil {
		g.plans[s] = p
	}
	return p, err
}

// MatMul: c = alpha·a·b + beta·c.
func (d *device) MatMul(c, a, b gpu.Mat, alpha, beta float32) {
	if d.err != nil || c.Rows == 0 || c.Cols == 0 {
		return
	}
	if a.Cols == 0 { // a sum of nothing
		for i := 0; i < c.Rows && beta == 0; i++ {
			d.Zero(c.Buf.Slice(i*c.Stride, i*c.Stride+c.Cols))
		}
		return
	}
	if a.Buf.Type != b.Buf.Type || a.Buf.Type == gpu.F32 && c.Buf.Type != gpu.F32 {
		a, b = d.converted(0, a), d.converted(1, b)
	}
	// cuBLASLt counts by columns: what lies there row by row is the transpose, and cᵀ = bᵀ·aᵀ.
	s := libs.Shape{
		TransA: b.T, TransB: a.T, In: dataType(a.Buf.Type), Out: dataType(c.Buf.Type),
		M: c.Cols, N: c.Rows, K: a.Cols,
		A: max(b.Stride, stored(b)), B: max(a.Stride, stored(a)), C: max(c.Stride, c.Cols),
		Align: [3]int{alignment(b.Buf), alignment(a.Buf), alignment(c.Buf)},
	}
	var plan *libs.Plan
	d.do(func() (err error) {
		plan, err = d.gemms.plan(d.lt, s)
		return err
	})
	d.add(command{plan: plan, alpha: alpha, beta: beta, a: b.Buf.Ptr, b: a.Buf.Ptr, c: c.Buf.Ptr})
}

// stored returns the elements of a row of m as it lies there.
func stored(m gpu.Mat) int {
	if m.T {
		return m.Rows
	}
	return m.Cols
}

// converted returns m in the type of activations: itself, or a copy that lasts
// until the next product.
func (d *device) converted(i int, m gpu.Mat) gpu.Mat {
	if m.Buf.Type == d.act || !d.grow(&d.factor[i], d.act, m.Buf.Len) {
		return m
	}
	b := d.factor[i].Slice(0, m.Buf.Len)
	d.Copy(b, m.Buf)
	m.Buf = b
	return m
}

func dataType(t gpu.Type) int32 {
	if t == gpu.BF16 {
		return libs.BF16
	}
	return libs.F32
}

// alignment returns the power of 2, 256 at most, that b's address is a multiple of.
func alignment(b gpu.Buf) int {
	at := int(uintptr(b.Ptr))
	return min(256, at&-at)
}

// MatMulRows: c += alpha·Σ aᵀ·b, sequence by sequence.
func (d *device) MatMulRows(c, a, b gpu.Mat, starts []int32, alpha float32) {
	if c.Rows == 0 || c.Cols == 0 || a.Rows == 0 {
		return
	}
	if a.Buf.Type != b.Buf.Type {
		a, b = d.converted(0, a), d.converted(1, b)
	}
	g, shared := grid{[3]int{(c.Rows + 63) / 64, (c.Cols + 31) / 32, 1}, [3]int{128, 1, 1}}, 43008
	if a.Buf.Type == gpu.F32 {
		g, shared = rowsOf((c.Rows*c.Cols+127)/128, 128), 0
	}
	d.launchShared("matmul_rows_"+strings.ToLower(a.Buf.Type.String()), g, shared,
		c.Buf, c.Stride, a.Buf, a.Stride, b.Buf, b.Stride, stageOf(d, starts), len(starts)-1, c.Rows, c.Cols, float64(alpha))
}
