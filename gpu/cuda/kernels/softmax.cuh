// softmax.cuh: the sum of exponentials over a row, by a block of 256 threads.
#pragma once
#include "base.cuh"

// Exps is Σ exp(x) over some numbers, as sum·exp(top).
struct Exps {
  f32 top, sum;
};

DEVICE Exps no_exps() { return {-3.4e38f, 0}; } // -inf would make a NaN of -inf - -inf

DEVICE Exps join(Exps a, Exps b) {
  const f32 top = fmaxf(a.top, b.top);
  return {top, a.sum * expf(a.top - top) + b.sum * expf(b.top - top)};
}

template <class T> DEVICE Exps row_exps(const T *row, i64 n, bool fast) {
  Exps e = no_exps();
  for (i64 j = threadIdx.x * 8; j < n; j += 256 * 8) {
    f32 v[8];
    load8(v, row, j, n, fast);
    f32 top = e.top;
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (j + i < n) top = fmaxf(top, v[i]);
    e.sum *= expf(e.top - top);
    e.top = top;
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (j + i < n) e.sum += expf(v[i] - top);
  }
  return e;
}

// block_lse returns log Σ exp over the block's shares. Thread 0 alone computes
// it: seen from another lane, join's last bits differ.
DEVICE f32 block_lse(Exps e) {
  __shared__ Exps part[8];
  __shared__ f32 lse;
#pragma unroll
  for (int o = 16; o > 0; o /= 2) e = join(e, {__shfl_down_sync(ALL, e.top, o), __shfl_down_sync(ALL, e.sum, o)});
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = e;
  __syncthreads();
  if (threadIdx.x == 0) {
    e = part[0];
    for (int i = 1; i < 8; i++) e = join(e, part[i]);
    lse = e.top + logf(e.sum);
  }
  __syncthreads();
  return lse;
}
