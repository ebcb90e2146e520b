// merge.cu: an adapter folded into a weight, and what the rounding lost.
//
// The product of two floats is exact in f64, so that fusing it with the sum changes
// nothing and Δ has the same bits on every device. GPUs that are made for games have f64 at
// 1/64 of the speed of f32, which is still enough for ranks up to 64 to wait for the bus.
#include "blocks.cuh"

template <> DEVICE f16 to<f16>(f32 x) {
  f16 r;
#ifdef SIM
  const u32 sign = __float_as_uint(x) >> 16 & 0x8000, u = __float_as_uint(x) & 0x7fffffffu;
  if (u > 0x7f800000u)
    r.bits = 0x7fff;
  else if (u >= 0x477ff000u) // 65520, half way from the largest half to the next
    r.bits = sign | 0x7c00;
  else if (u < 113u << 23) // below 2⁻¹⁴: adding ½ rounds at 2⁻²⁴
    r.bits = sign | (__float_as_uint(__uint_as_float(u) + 0.5f) - __float_as_uint(0.5f));
  else
    r.bits = sign | (((u + 0xfff + (u >> 13 & 1)) >> 13) - (112 << 10));
#else
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
#endif
  return r;
}

DEVICE void store8(f16 *row, const f32 (&v)[8], i64 at, i64 n, bool wide) {
  if (wide) {
    u32 w[4];
#pragma unroll
    for (int i = 0; i < 4; i++) w[i] = to<f16>(v[2 * i]).bits | (u32)to<f16>(v[2 * i + 1]).bits << 16;
    *(uint4 *)(row + at) = make_uint4(w[0], w[1], w[2], w[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (at + i < n) row[at + i] = to<f16>(v[i]);
}

// Sums is gpu.Merged of some weights, but for their number.
struct Sums {
  f64 dot, delta, lost;
  i64 changed, broken; // broken: Intact for none
  DEVICE void add(const Sums &s) {
    dot += s.dot, delta += s.delta, lost += s.lost, changed += s.changed, broken = min(broken, s.broken);
  }
};
enum : i64 { Intact = 0x7fffffffffffffff };

// block_sums adds up the sums of a block's threads, for thread 0.
template <int Threads> DEVICE Sums block_sums(Sums s) {
  __shared__ i64 first[Threads / 32];
  s.dot = block_sum<Threads>(s.dot);
  s.delta = block_sum<Threads>(s.delta);
  s.lost = block_sum<Threads>(s.lost);
  s.changed = block_sum<Threads>(s.changed);
#pragma unroll
  for (int o = 16; o > 0; o /= 2) {
    const i64 other = __shfl_xor_sync(ALL, s.broken, o);
    s.broken = min(s.broken, other);
  }
  if (threadIdx.x % 32 == 0) first[threadIdx.x / 32] = s.broken;
  __syncthreads();
  for (int i = 0; i < Threads / 32; i++) s.broken = min(s.broken, first[i]);
  return s;
}

template <class T>
DEVICE void merge(T *out, const f32 *w, const f32 *b, const f32 *a, Sums *part, i64 rows, i64 dim, i64 rank, f32 scale, bool twice) {
  constexpr int Rows = 4, Chunk = 64; // a thread has 8 columns of so many rows
  __shared__ f64 bs[Chunk][Rows];
  const i64 row0 = blockIdx.x * (i64)Rows, at = (blockIdx.y * (i64)128 + threadIdx.x) * 8;
  const bool fast = wide(dim, out, w, a);
  f64 product[Rows][8] = {};
  f32 v[8], d[8];
  for (i64 r0 = 0; r0 < rank; r0 += Chunk) {
    for (int i = threadIdx.x; i < Chunk * Rows; i += 128) {
      const i64 r = r0 + i / Rows, row = row0 + i % Rows;
      bs[i / Rows][i % Rows] = r < rank && row < rows ? b[row * rank + r] : 0;
    }
    __syncthreads();
    const int n = at < dim ? (int)min(rank - r0, (i64)Chunk) : 0;
    for (int r = 0; r < n; r++) {
      load8(v, a + (r0 + r) * dim, at, dim, fast);
#pragma unroll
      for (int i = 0; i < Rows; i++)
#pragma unroll
        for (int e = 0; e < 8; e++) product[i][e] += bs[r][i] * v[e];
    }
    __syncthreads();
  }
  Sums s = {0, 0, 0, 0, Intact};
#pragma unroll
  for (int i = 0; i < Rows; i++) {
    const i64 row = row0 + i;
    if (at >= dim || row >= rows) continue;
    load8(v, w + row * dim, at, dim, fast);
#pragma unroll
    for (int e = 0; e < 8; e++) {
      const f32 was = v[e];
      d[e] = (f32)(scale * product[i][e]);
      v[e] = to_f32(to<T>(was + (twice ? to_f32(to<T>(d[e])) : d[e])));
      if (at + e >= dim) continue;
      const f64 got = (f64)v[e] - was, want = d[e];
      s.add({got * want, want * want, (got - want) * (got - want), got != 0, isfinite(v[e]) ? Intact : row * dim + at + e});
    }
    store8(out + row * dim, v, at, dim, fast);
  }
  s = block_sums<128>(s);
  if (threadIdx.x == 0) part[blockIdx.y * (i64)gridDim.x + blockIdx.x] = s;
}

// MERGE: out = w + Δ, rounded once, with Δ = scale·b·a, and for each block what came of it. twice: Δ is rounded as well.
// Block 128, grid (ceil(rows/4), ceil(dim/1024)).
//   T *out (rows, dim), const f32 *w (rows, dim), const f32 *b (rows, rank), const f32 *a (rank, dim), Sums *part (grid),
//   i64 rows, i64 dim, i64 rank, f64 scale, i64 twice
#define MERGE(name, T)                                                                                                          \
  KERNEL(128) name(T *out, const f32 *w, const f32 *b, const f32 *a, Sums *part, i64 rows, i64 dim, i64 rank, f64 scale, i64 twice) { \
    merge(out, w, b, a, part, rows, dim, rank, (f32)scale, twice != 0);                                                         \
  }
MERGE(merge_f32, f32)
MERGE(merge_bf16, bf16)
MERGE(merge_f16, f16)

// MERGE_SUMS: the sums of all blocks, in a fixed order. Grid (1), block 128.  Sums *out (1), const Sums *part (blocks), i64 blocks
KERNEL(128) merge_sums(Sums *out, const Sums *part, i64 blocks) {
  Sums s = {0, 0, 0, 0, Intact};
  for (i64 i = threadIdx.x; i < blocks; i += 128) s.add(part[i]);
  s = block_sums<128>(s);
  if (threadIdx.x == 0) *out = s;
}
