// swiglu.cu: the gated activation. Grid (ceil(n/2048)), block 256.
#include "base.cuh"

DEVICE f32 sigmoid(f32 x) { return 1 / (1 + expf(-x)); }

template <class T> DEVICE void swiglu(T *out, const T *gate, const T *up, i64 n) {
  const i64 at = (blockIdx.x * (i64)256 + threadIdx.x) * 8;
  if (at >= n) return;
  const bool fast = wide(0, out, gate, up) && at + 8 <= n;
  f32 g[8], u[8];
  load8(g, gate, at, n, fast);
  load8(u, up, at, n, fast);
#pragma unroll
  for (int i = 0; i < 8; i++) u[i] *= g[i] * sigmoid(g[i]);
  store8(out, u, at, n, fast);
}

// SWIGLU: out = silu(gate)·up.  T *out, const T *gate, const T *up, i64 n
#define SWIGLU(name, T) \
  KERNEL(256) name(T *out, const T *gate, const T *up, i64 n) { swiglu(out, gate, up, n); }
SWIGLU(swiglu_bf16, bf16)
SWIGLU(swiglu_f32, f32)

// A thread reads its elements of gate and up before it writes dgate and dup,
// which may be the same memory; hence no __restrict__ here.
template <class T> DEVICE void swiglu_back(T *dgate, T *dup, const T *dout, const T *gate, const T *up, i64 n) {
  const i64 at = (blockIdx.x * (i64)256 + threadIdx.x) * 8;
  if (at >= n) return;
  const bool fast = wide(0, dgate, dup, dout, gate, up) && at + 8 <= n;
  f32 y[8], g[8], u[8];
  load8(y, dout, at, n, fast);
  load8(g, gate, at, n, fast);
  load8(u, up, at, n, fast);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const f32 s = sigmoid(g[i]);
    u[i] = y[i] * u[i] * s * (1 + g[i] * (1 - s));
    y[i] = y[i] * g[i] * s;
  }
  store8(dgate, u, at, n, fast);
  store8(dup, y, at, n, fast);
}

// SWIGLU_BACK: the gradients of silu(gate)·up; either may overwrite gate or up.
//   T *dgate, T *dup, const T *dout, const T *gate, const T *up, i64 n
#define SWIGLU_BACK(name, T) \
  KERNEL(256, 4) name(T *dgate, T *dup, const T *dout, const T *gate, const T *up, i64 n) { swiglu_back(dgate, dup, dout, gate, up, n); }
SWIGLU_BACK(swiglu_back_bf16, bf16)
SWIGLU_BACK(swiglu_back_f32, f32)
