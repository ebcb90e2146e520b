// attention.cuh: what the passes of attention share.
//
// Sequences lie packed one after the other. Tiles of rows begin anew with each
// sequence, and all sums run over tiles of the row's own sequence, so a row's
// result does not depend on what else is in the batch. Rows behind the last
// sequence are padding: their results are zeros.
#pragma once
#include "mma.cuh"

struct Tile {
  int start, end; // rows of the sequence
  int from;       // first row of the tile
  bool padding;
};

// find_tile finds the index-th tile of so many rows, going through 32 sequences
// at a time; within a sequence the last tile comes first if `backwards`.
// ceil(rows/height) + seqs tiles are enough for any starts. All lanes of a warp
// call it.
DEVICE bool find_tile(Tile &t, const i32 *starts, int seqs, int rows, int index, int height, bool backwards) {
  const int lane = threadIdx.x % 32;
  for (int base = 0; base <= seqs; base += 32) { // sequence `seqs` is the padding
    const int s = base + lane;
    const int from = s <= seqs ? starts[s] : rows, end = s < seqs ? starts[s + 1] : rows;
    const int tiles = (end - from + height - 1) / height;
    int upto = tiles;
#pragma unroll
    for (int o = 1; o < 32; o *= 2) {
      const int before = __shfl_up_sync(ALL, upto, o);
      if (lane >= o) upto += before;
    }
    const u32 found = __ballot_sync(ALL, index < upto);
    if (found) {
      const int who = __ffs(found) - 1;
      t.start = __shfl_sync(ALL, from, who);
      t.end = __shfl_sync(ALL, end, who);
      const int tile = index - __shfl_sync(ALL, upto - tiles, who);
      t.from = t.start + (backwards ? (t.end - t.start - 1) / height - tile : tile) * height;
      t.padding = base + who == seqs;
      return true;
    }
    index -= __shfl_sync(ALL, upto, 31);
  }
  return false;
}

// Shape is what a launch says of heads; q has rows of heads·dim, k of kv·dim.
struct Shape {
  int rows, heads, kv, dim;
  int window; // rows seen back, own included; 0: all
  f32 scale;
};

#define LOG2E 1.4426950408889634f

// sees tells whether row i sees row j, both counted in their sequence.
DEVICE bool sees(int i, int j, int window) { return j <= i && (window == 0 || i - j < window); }

// store2 writes two neighbours, of which `left` are there.
DEVICE void store2(bf16 *p, f32 a, f32 b, int left, bool even) {
  if (even && left >= 2) {
    *(u32 *)p = pack(a, b);
    return;
  }
  if (left > 0) p[0] = to<bf16>(a);
  if (left > 1) p[1] = to<bf16>(b);
}

// zero_rows clears the head's part of the rows of a tile.
DEVICE void zero_rows(bf16 *x, i64 stride, int dim, int rows) {
  for (int i = threadIdx.x; i < rows * dim; i += 128) x[i / dim * stride + i % dim] = bf16{0};
}

// store_rows writes a warp's 16 rows of sums, times scale, as far as they are there.
template <int N> DEVICE void store_rows(bf16 *x, i64 stride, const f32 (&d)[N][4], f32 scale0, f32 scale8, int rows, int dim) {
  const int lane = threadIdx.x % 32, r = lane / 4;
  const bool even = dim % 2 == 0 && ((u64)x & 3) == 0;
#pragma unroll
  for (int n = 0; n < N; n++) {
    const int c = 8 * n + lane % 4 * 2;
    if (r < rows) store2(x + r * stride + c, d[n][0] * scale0, d[n][1] * scale0, dim - c, even);
    if (r + 8 < rows) store2(x + (r + 8) * stride + c, d[n][2] * scale8, d[n][3] * scale8, dim - c, even);
  }
}

// multiply adds to d (16 × 8·N) the product of a warp's 16 rows of the tile a
// and the rows of the tile b, which are d's columns. Depth: columns of both.
template <int N, int Depth> DEVICE void multiply(f32 (&d)[N][4], const bf16 *a, const bf16 *b) {
#pragma unroll
  for (int k = 0; k < Depth; k += 16) {
    u32 fa[4], fb[4];
    load_a(fa, a + k, Depth + 8);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      load_b(fb, b + 8 * n * (Depth + 8) + k, Depth + 8);
      mma(d[n], fa, fb[0], fb[1]);
      mma(d[n + 1], fa, fb[2], fb[3]);
    }
  }
}

// multiply_rows adds to d (16 × 8·N) the product of p (16 × 8·M), rounded, and
// the tile b, whose 8·M rows of 8·N columns are p's columns.
template <int N, int M> DEVICE void multiply_rows(f32 (&d)[N][4], const f32 (&p)[M][4], const bf16 *b) {
#pragma unroll
  for (int m = 0; m < M; m += 2) {
    const u32 fa[4] = {pack(p[m][0], p[m][1]), pack(p[m][2], p[m][3]), pack(p[m + 1][0], p[m + 1][1]), pack(p[m + 1][2], p[m + 1][3])};
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      u32 fb[4];
      load_b_rows(fb, b + 8 * m * (8 * N + 8) + 8 * n, 8 * N + 8);
      mma(d[n], fa, fb[0], fb[1]);
      mma(d[n + 1], fa, fb[2], fb[3]);
    }
  }
}

template <int N> DEVICE void clear(f32 (&d)[N][4]) {
#pragma unroll
  for (int n = 0; n < N; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) d[n][e] = 0;
}
