// base.cuh: what all kernels share. No CUDA header is included, since where
// they lie differs from release to release; NVRTC knows the rest by itself.
//
// Of every kernel: each parameter is 8 bytes wide. What a parameter points to
// lies in the device's memory and may change between two replays of a graph;
// the numbers among the parameters are shapes and constants of a model, and
// only these decide the grid. No two blocks write the same element and nothing
// is added by atomics, so same input means same bits.
#pragma once
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;
typedef float f32;
typedef double f64;
struct bf16 { // 16 bits of storage; arithmetic is in f32
  u16 bits;
};

#define DEVICE __device__ __forceinline__
// KERNEL(threads, blocks) begins an entry point; registers are allotted for so many
// blocks of a multiprocessor at once. Without blocks the compiler guesses, and may
// spill a few registers for one block more.
#define KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)
#define ALL 0xffffffffu // lanes of a warp
#ifndef SIM
// Dynamic shared memory, at a multiple of 16 bytes.
#define DYNAMIC_SHARED(type, name)          \
  extern __shared__ uint4 dynamic_shared[]; \
  type *name = (type *)dynamic_shared
#endif

DEVICE f32 infinity() { return __uint_as_float(0x7f800000); }


// power2 returns 2^x to within 2 units of the last place, 0 for the smallest.
DEVICE f32 power2(f32 x) {
#ifdef SIM
  return exp2f(x);
#else
  f32 r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
#endif
}

DEVICE f32 to_f32(f32 x) { return x; }
DEVICE f32 to_f32(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

// to rounds to nearest, ties to even; a NaN stays one.
template <class T> DEVICE T to(f32 x);
template <> DEVICE f32 to<f32>(f32 x) { return x; }
template <> DEVICE bf16 to<bf16>(f32 x) {
  bf16 r;
#ifdef SIM
  u32 u = __float_as_uint(x);
  r.bits = (u & 0x7fffffffu) > 0x7f800000u ? 0x7fff : (u16)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
#else
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
#endif
  return r;
}

// pack rounds two numbers into a word, lo in its lower half.
DEVICE u32 pack(f32 lo, f32 hi) {
#ifdef SIM
  return to<bf16>(lo).bits | (u32)to<bf16>(hi).bits << 16;
#else
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
#endif
}

// A thread takes eight neighbouring elements of a row at a time. They are the
// same eight, used in the same order, whether they are read as words of 16
// bytes (wide) or one by one: how a row is aligned changes no bit.

// wide tells whether rows of n elements at the pointers p can be read as words.
template <class... P> DEVICE bool wide(i64 n, P... p) { return n % 8 == 0 && ((... | (u64)p) & 15) == 0; }

// load8 reads the elements from at on of a row of n; zeros lie behind it.
DEVICE void load8(f32 (&v)[8], const f32 *row, i64 at, i64 n, bool wide) {
  if (wide) {
    float4 a = *(const float4 *)(row + at), b = *(const float4 *)(row + at + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = at + i < n ? row[at + i] : 0;
}
DEVICE void load8(f32 (&v)[8], const bf16 *row, i64 at, i64 n, bool wide) {
  if (wide) {
    uint4 a = *(const uint4 *)(row + at);
    u32 w[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
    for (int i = 0; i < 4; i++) v[2 * i] = __uint_as_float(w[i] << 16), v[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = at + i < n ? to_f32(row[at + i]) : 0;
}

// store8 is the way back; nothing is written behind the row.
DEVICE void store8(f32 *row, const f32 (&v)[8], i64 at, i64 n, bool wide) {
  if (wide) {
    *(float4 *)(row + at) = make_float4(v[0], v[1], v[2], v[3]);
    *(float4 *)(row + at + 4) = make_float4(v[4], v[5], v[6], v[7]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (at + i < n) row[at + i] = v[i];
}
DEVICE void store8(bf16 *row, const f32 (&v)[8], i64 at, i64 n, bool wide) {
  if (wide) {
    *(uint4 *)(row + at) = make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (at + i < n) row[at + i] = to<bf16>(v[i]);
}

// warp_sum returns the sum over the lanes of a warp, to all of them. The tree
// of an xor is the same seen from each lane.
template <class T> DEVICE T warp_sum(T v) {
#pragma unroll
  for (int o = 16; o > 0; o /= 2) v += __shfl_xor_sync(ALL, v, o);
  return v;
}

// block_sum returns the sum over a block of so many threads, to all of them.
template <int Threads, class T> DEVICE T block_sum(T v) {
  __shared__ T part[Threads / 32];
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
#pragma unroll
  for (int i = 0; i < Threads / 32; i++) v += part[i];
  __syncthreads(); // part may be written again
  return v;
}

// sequence_of returns the sequence that row lies in, or seqs for a row behind
// the last. Sequences may be empty.
DEVICE int sequence_of(const i32 *starts, int seqs, i64 row) {
  int lo = 0, hi = seqs; // starts[lo] <= row; starts[hi + 1], if there is one, is above
  while (lo < hi) {
    int mid = (lo + hi + 1) / 2;
    if (starts[mid] <= row)
      lo = mid;
    else
      hi = mid - 1;
  }
  return lo;
}

// column_sums adds to sum[c] the terms of column c, sequence by sequence: each
// sequence has a sum of its own, and these are added in their order. A row of
// the sequences stands for `each` rows of terms. Block (32, 8), grid
// (ceil(cols/32)).
template <class F> DEVICE void column_sums(f32 *sum, const i32 *starts, int seqs, i64 each, int cols, F term) {
  __shared__ f32 part[8][32];
  const int x = threadIdx.x, y = threadIdx.y, c = blockIdx.x * 32 + x;
  f32 total = c < cols ? sum[c] : 0;
  for (int s = 0; s < seqs; s++) {
    const i64 from = starts[s] * each, end = starts[s + 1] * each;
    if (from == end) continue;
    f32 own = 0;
    for (i64 r = from + y; r < end; r += 8)
      if (c < cols) own += term(r, c);
    part[y][x] = own;
    __syncthreads();
    if (y == 0) {
      own = 0;
#pragma unroll
      for (int i = 0; i < 8; i++) own += part[i][x];
      total += own;
    }
    __syncthreads();
  }
  if (y == 0 && c < cols) sum[c] = total;
}
