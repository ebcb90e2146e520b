// dropout.cu: elements fall as a hash of their place in their sequence decides,
// so that the backward pass needs no mask.
#include "base.cuh"

// splitmix64: output i from the state key, its upper 24 bits.
DEVICE u32 hash24(u64 key, i64 i) {
  u64 z = key + ((u64)i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (u32)((z ^ (z >> 31)) >> 40);
}

template <class T>
DEVICE void dropout(T *out, const T *x, const i32 *starts, const u64 *keys, int seqs, i64 dim, f64 p) {
  const i64 row = blockIdx.x;
  const int s = sequence_of(starts, seqs, row);
  const u64 key = s < seqs ? keys[s] : 0; // rows behind the last sequence are padding
  const i64 place = (row - starts[s]) * dim;
  const u32 below = (u32)(p * (1 << 24));
  const f32 kept = (f32)(1 - p);
  out += row * dim;
  x += row * dim;
  const bool fast = wide(dim, out, x);
  for (i64 j = threadIdx.x * 8; j < dim; j += 128 * 8) {
    f32 v[8];
    load8(v, x, j, dim, fast);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = hash24(key, place + j + i) < below ? 0 : v[i] / kept;
    store8(out, v, j, dim, fast);
  }
}

// DROPOUT: out = x/(1-p), or 0 with probability p. out may be x. Grid (rows), block 128.
//   T *out (rows, dim), const T *x (rows, dim), const i32 *starts (seqs+1), const u64 *keys (seqs), i64 seqs, i64 dim, f64 p
#define DROPOUT(name, T)                                                                               \
  KERNEL(128) name(T *out, const T *x, const i32 *starts, const u64 *keys, i64 seqs, i64 dim, f64 p) { \
    dropout(out, x, starts, keys, (int)seqs, dim, p);                                                  \
  }
DROPOUT(dropout_bf16, bf16)
DROPOUT(dropout_f32, f32)
