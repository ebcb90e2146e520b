// Package gpu says what a device must be able to do for a language model to
// be trained and run on it. It knows nothing of models, files or notebooks.
//
// Letters keep their meaning throughout gpu/...: N tokens of a packed
// micro-batch, D width of the residual stream, H query heads, K key/value
// heads, E width of a head, F hidden width of the feed-forward block, V size
// of the vocabulary, R rank of an adapter. A gradient's name begins with d.
package gpu

import "unsafe"

// Buf is a run of elements in a device's memory. The zero Buf means "none"
// wherever an operation has an optional argument.
type Buf struct {
	Ptr  unsafe.Pointer // host memory on the CPU, device memory on a GPU
	Len  int            // elements, not bytes
	Type Type
}

// Slice returns the elements from to up to, sharing b's memory. An empty one
// has no pointer: one behind the end would not be b's.
func (b Buf) Slice(from, to int) Buf {
	if from < 0 || to < from || to > b.Len {
		panic("gpu: slice out of range")
	}
	if from == to {
		return Buf{Type: b.Type}
	}
	return Buf{unsafe.Add(b.Ptr, b.Type.Bytes(from)), to - from, b.Type}
}

// Mat is a view of a Buf as a matrix. Element (i, j) lies at i*Stride + j, or
// at j*Stride + i when T is set.
type Mat struct {
	Buf        Buf
	Rows, Cols int // of the matrix as multiplied, so after transposing
	Stride     int // elements from one stored row to the next
	T          bool
}

// M views b as a dense rows × cols matrix.
func M(b Buf, rows, cols int) Mat { return Mat{b, rows, cols, cols, false} }

// Transposed returns the transpose of m, without moving anything.
func (m Mat) Transposed() Mat { return Mat{m.Buf, m.Cols, m.Rows, m.Stride, !m.T} }

// Device is a place where tensors live and are computed with. Operations run
// in the order of the calls. The first failure sticks: later calls do nothing,
// and Sync returns it. Buffers are exactly as long as their shapes say; see
// Checked. A Device is used by one goroutine at a time.
type Device interface {
	// Name says what the device is, for the record of a run: "cpu (AVX-512, 2 threads)".
	Name() string
	// Kind is "cpu", "cpu:amx", "cpu:bf16", "cuda" or "ref": results may differ in their last bits between kinds.
	Kind() string
	// Activations is the type that activations, their gradients and logits are
	// best kept in: F32, or BF16 where that is what the device is fast at.
	Activations() Type
	// Pad returns the number of rows that a batch of n is best filled up to, n
	// or more: a device that prepares for shapes wants few of them. Of what it
	// returned, Pad returns the same.
	Pad(n int) int
	// Logits returns how many logits there had best be at a time: as many as stay
	// near to the processor, or on a GPU, which reads the weights of the output layer
	// once for each lot of rows, enough that reading them does not take longer.
	Logits() int
	Memory
	Ops
	// Sync waits for all calls and returns the first error since the last Sync.
	Sync() error
	// Close frees everything. The device is of no use afterwards.
	Close() error
}

// Memory moves data to and from a device.
type Memory interface {
	// Alloc returns n zeroed elements. The reference device may answer with a
	// wider Type than was asked for.
	Alloc(t Type, n int) Buf
	// Free gives b, as Alloc or Load returned it, back.
	Free(b Buf)
	// Load returns a Buf of the little-endian elements in raw, which must
	// neither change nor go away before Free: the CPU uses raw where it lies.
	// The Buf is read-only. A type that the device does not take is a failure.
	Load(t Type, raw []byte) Buf
	// Upload copies src to dst, rounding to dst's type. The lengths are equal.
	Upload(dst Buf, src []float32)
	// Download copies src to dst, widened, after all calls before it have run.
	Download(dst []float32, src Buf)
	// Fetch begins to copy src, which later calls may overwrite, and does not
	// wait. What it returns waits for the copy alone and leaves it, widened, in
	// dst; an error there is that of Sync, which it does not take away.
	Fetch(src Buf) (wait func(dst []float32) error)
	// Copy copies src to dst, converting between types; no type is converted
	// to one for weights only. The lengths are equal.
	Copy(dst, src Buf)
	// Zero clears b.
	Zero(b Buf)
	// Room returns how many bytes Alloc can still give, or 0 if that is not
	// known. Of a GPU's memory, what is promised here does not fail later; the
	// host's is others' too.
	Room() int
	// Rehearse returns a device that begins with what this one holds, takes
	// every call and does nothing but count memory, as this one would come to
	// use it. It reads no data that it is given. Nil: memory is not counted.
	Rehearse() Device
	// Use returns what of the device's memory is in use, what Load took included.
	Use() Use
}

// Use is what is in use of a device's memory, in bytes.
type Use struct {
	Now  int // allocated and not freed
	Peak int // the most that was taken from the driver or the host at a time
}

// Seqs describes attention over sequences that lie packed one after the other
// in a batch of N rows. No row sees another sequence.
type Seqs struct {
	Starts  []int32 // first row of each sequence, then N; len = sequences+1
	Heads   int     // H; H is a multiple of KVHeads
	KVHeads int     // K
	Dim     int     // E
	Window  int     // a row sees this many rows back including itself; 0: all
	Scale   float32 // of the scores before softmax, usually 1/sqrt(E)
}

// Cached describes attention of new rows over a key/value cache laid out as
// (slots, Context, K*E). Row i belongs to slot Slot[i] and sees the first
// Len[i] positions there, its own included.
type Cached struct {
	Slot    []int32
	Len     []int32
	Context int
	Heads   int
	KVHeads int
	Dim     int
	Window  int
	Scale   float32
}

// AdamW holds the numbers of one optimiser step, in torch's meaning.
type AdamW struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	Step                               int     // 1 for the first; those that a guard skipped count
	GradScale                          float64 // gradients are multiplied by it first (1/tokens)
	MaxNorm                            float64 // clip to this norm of the scaled gradients; 0: no clipping
}

// A guard is what decides about an update without asking the host: three
// numbers on the device, of which the first two must be finite.
const (
	GuardSquares = iota // Σg², of the gradients
	GuardLoss           // Σ of the losses
	GuardSkips          // updates that were skipped so far
	GuardLen
)

// Ops is what a transformer of the Llama family needs, fused where it pays.
// "+=" means that the op adds to what is there. Activations and their
// gradients, logits and caches are of the device's Activations type; weights
// may be F32, BF16 or, where frozen, of any other type. All else is F32: what
// is trained, gradients of weights and of biases, inv, lse, losses, angles and
// the state of the optimiser.
//
// Every element of a result is a function of its own row's inputs computed in
// a fixed order, so results do not depend on the number of threads or on which
// other rows share the batch. Sums over rows, which gradients of weights are,
// are made sequence by sequence, so that they do not depend, to the last bit,
// on how the sequences of an update are cut into batches. starts says where
// these are: the first row of each, then N.
type Ops interface {
	// Embed: out[i] = table[ids[i]]. out (N, D), table (V, D). The table may
	// also be activations, whose rows are gathered.
	Embed(out, table Buf, ids []int32, dim int)
	// EmbedBack: dtable[ids[i]] += dout[i], in the order of i. dtable may be
	// F32 or of the activations' type.
	EmbedBack(dtable, dout Buf, ids []int32, dim int)
	// MatMul: c = alpha·a·b + beta·c. beta is 0 or 1; c is not transposed. b
	// may be of a type for weights only.
	MatMul(c, a, b Mat, alpha, beta float32)
	// MatMulRows: c += alpha·Σ aᵀ·b, sequence by sequence. a (N, P), b (N, Q),
	// c (P, Q) F32; none is transposed.
	MatMulRows(c, a, b Mat, starts []int32, alpha float32)
	// RMSNorm: x += add if add is given, then out = x·inv·w with
	// inv = 1/sqrt(mean(x²)+eps) per row. out, x, add (N, D), inv (N), w (D).
	RMSNorm(out, inv, x, add, w Buf, dim int, eps float32)
	// RMSNormBack: dx += gradient to x; dw += gradient to w if dw is given.
	RMSNormBack(dx, dw, dout, x, w, inv Buf, starts []int32, dim int)
	// Rotary is what happens to queries, keys and values between projection
	// and attention, head by head: y = x + bias; if w is given,
	// inv = 1/sqrt(mean(y²)+eps) and y = y·inv·w; if cos and sin are given, y is
	// rotated by the angles of its row's position, first half against second
	// half. x, out (N, heads·dim), bias (heads·dim), w (dim), inv (N, heads),
	// cos, sin (positions, dim/2). out may be x.
	Rotary(out, inv, x, bias, w, cos, sin Buf, pos []int32, heads, dim int, eps float32)
	// RotaryBack writes dx, which may be dout, and adds to dbias and dw if they
	// are given. x is as it was before Rotary; only a w needs it, and inv.
	RotaryBack(dx, dbias, dw, dout, x, bias, w, inv, cos, sin Buf, pos, starts []int32, heads, dim int)
	// Attention: causal softmax attention. out, q (N, H·E), k, v (N, K·E);
	// lse (N, H) is the log of the sum of exponentials, kept for the backward pass.
	Attention(out, lse, q, k, v Buf, s Seqs)
	// AttentionBack writes dq, dk, dv.
	AttentionBack(dq, dk, dv, dout, out, lse, q, k, v Buf, s Seqs)
	// CacheWrite: cache[slot[i], pos[i]] = rows[i]. rows (N, dim), cache (slots, context, dim).
	CacheWrite(cache, rows Buf, slot, pos []int32, context, dim int)
	// AttentionCached: as Attention, for new rows over caches of keys and values.
	AttentionCached(out, q, keys, values Buf, c Cached)
	// SwiGLU: out = silu(gate)·up, element by element.
	SwiGLU(out, gate, up Buf)
	// SwiGLUBack writes dgate and dup; either may be the same Buf as gate or up.
	SwiGLUBack(dgate, dup, dout, gate, up Buf)
	// CrossEntropy: loss[i] = -log softmax(logits[i])[targets[i]], 0 where
	// targets[i] is negative. If scale is not 0, logits becomes
	// scale·dloss/dlogits (0 in rows without a target). loss (N), logits (N, V).
	CrossEntropy(loss, logits Buf, targets []int32, vocab int, scale float32)
	// Axpy: y += alpha·x. x and y may differ in type.
	Axpy(y, x Buf, alpha float32)
	// Dropout: out = x/(1-p), or 0 with probability p, as a hash of an element's
	// place and its sequence's key decides, so that the same call on a gradient
	// is the backward pass: 0 if the upper 24 bits of the i-th output of
	// splitmix64, started at the key, are below p·2²⁴, where i counts the
	// sequence's elements. x (N, dim), one key for each sequence. out may be x.
	Dropout(out, x Buf, dim int, starts []int32, keys []uint64, p float32)
	// Sum: out[0] += Σx, summed in a fixed order.
	Sum(out, x Buf)
	// SumSquares: out[0] = Σx², summed in a fixed order.
	SumSquares(out, x Buf)
	// Guard: guard[GuardSkips] += 1 if one of the two before it is not finite.
	Guard(guard Buf)
	// AdamW updates w, m and v (all F32) from the gradients g. If there is a
	// guard, which clipping needs, nothing changes unless its first two are
	// finite; gradients are multiplied by min(1, MaxNorm/(sqrt(Σg²)·GradScale +
	// 1e-6)) if o.MaxNorm > 0; and the moments are corrected for the Step that it
	// would be without the skips.
	AdamW(w, g, m, v, guard Buf, o AdamW)
	// Merge writes W' = W + Δ with Δ = scale·B·A to out, as little-endian elements
	// of m.Type, and waits for the device. Δ is summed along R in float64, where the
	// product of two floats is exact, and rounded to float32, in which it is added to
	// W; that sum is rounded once. So all devices write the same bytes. w (rows, dim)
	// of any type, b (rows, R) and a (R, dim) F32.
	Merge(out []byte, w, b, a Buf, dim int, m Merge) Merged
	// Argmax writes the index of the largest logit of each row (the first of
	// equals) and its log-probability. It waits for the device.
	Argmax(ids []int32, logp []float32, logits Buf, vocab int)
	// Sample writes for each row the token that s.Draw draws, given 64 random
	// bits, and its log-probability at temperature 1. It waits for the device.
	Sample(ids []int32, logp []float32, logits Buf, vocab int, random []uint64, s Sampling)
}
