// rows.cu: sums over rows, which gradients of weights are.
//
// Rows are walked one after the other by one block per tile of the result; no
// sum is split. Each sequence begins a chunk of its own, padded with zeros, and
// its finished sum is added to c in registers, which is the same to the last bit
// as storing c and loading it for the next sequence: so it does not matter how
// the sequences of an update are cut into batches.
#include "mma.cuh"

// MATMUL_ROWS: c += alpha·Σ aᵀ·b, sequence by sequence. Block 128, grid (ceil(p/64), ceil(q/32)),
// dynamic shared memory 43008 bytes.
//   f32 *c (p, q), i64 cstride, const bf16 *a (rows, p), i64 astride, const bf16 *b (rows, q), i64 bstride,
//   const i32 *starts (seqs+1), i64 seqs, i64 p, i64 q, f64 alpha
KERNEL(128, 4) matmul_rows_bf16(f32 *c, i64 cstride, const bf16 *a, i64 astride, const bf16 *b, i64 bstride, const i32 *starts, i64 seqs,
                             i64 p, i64 q, f64 alpha) {
  constexpr int P = 64, Q = 32, Chunk = 64, Stages = 3, AStage = Chunk * (P + 8), BStage = Chunk * (Q + 8);
  DYNAMIC_SHARED(bf16, as);
  bf16 *bs = as + Stages * AStage;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n = (int)seqs;
  const i64 p0 = blockIdx.x * (i64)P, q0 = blockIdx.y * (i64)Q;
  const int ps = (int)min(p - p0, (i64)P), qs = (int)min(q - q0, (i64)Q);
  const bool afast = wide(p | astride, a), bfast = wide(q | bstride, b);
  a += p0;
  b += q0;

  // A warp holds 16 × 32 of c: rows g and g+8, columns 8i + 2t and the next.
  const i64 row = p0 + 16 * warp + lane / 4, col = q0 + lane % 4 * 2;
  f32 sum[Q / 8][4], own[Q / 8][4];
#pragma unroll
  for (int i = 0; i < Q / 8; i++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const i64 y = row + e / 2 * 8, x = col + 8 * i + e % 2;
      sum[i][e] = y < p && x < q ? c[y * cstride + x] : 0;
      own[i][e] = 0;
    }

  int ahead = 0; // the sequence of the next chunk to fetch, and its first row
  i64 next = starts[0];
  auto fetch = [&](int stage) {
    while (ahead < n && starts[ahead + 1] <= next) ahead++;
    if (ahead < n) {
      const int rows = (int)min(starts[ahead + 1] - next, (i64)Chunk);
      copy_tile<128, Chunk, P>(as + stage * AStage, a + next * astride, astride, rows, ps, afast);
      copy_tile<128, Chunk, Q>(bs + stage * BStage, b + next * bstride, bstride, rows, qs, bfast);
      next += rows;
    }
    copy_commit();
  };
  fetch(0);
  fetch(1);
  i64 at = starts[0];
  for (int s = 0, stage = 0; s < n; s++) {
    const i64 end = starts[s + 1];
    if (at == end) continue;
    while (at < end) {
      copy_wait<1>();
      __syncthreads(); // and the chunk before has been used
      fetch((stage + 2) % Stages);
      const int rows = (int)min(end - at, (i64)Chunk);
      for (int k = 0; k < rows; k += 16) {
        u32 fa[4], fb[4];
        load_a_rows(fa, as + stage * AStage + k * (P + 8) + 16 * warp, P + 8);
#pragma unroll
        for (int i = 0; i < Q / 16; i++) {
          load_b_rows(fb, bs + stage * BStage + k * (Q + 8) + 16 * i, Q + 8);
          mma(own[2 * i], fa, fb[0], fb[1]);
          mma(own[2 * i + 1], fa, fb[2], fb[3]);
        }
      }
      stage = (stage + 1) % Stages;
      at += rows;
    }
#pragma unroll
    for (int i = 0; i < Q / 8; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) sum[i][e] = fmaf((f32)alpha, own[i][e], sum[i][e]), own[i][e] = 0;
  }
#pragma unroll
  for (int i = 0; i < Q / 8; i++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const i64 y = row + e / 2 * 8, x = col + 8 * i + e % 2;
      if (y < p && x < q) c[y * cstride + x] = sum[i][e];
    }
}

// The same without tensor cores, an element for each thread. Block 128, grid (ceil(p·q/128)).
KERNEL(128) matmul_rows_f32(f32 *c, i64 cstride, const f32 *a, i64 astride, const f32 *b, i64 bstride, const i32 *starts, i64 seqs,
                            i64 p, i64 q, f64 alpha) {
  const i64 i = blockIdx.x * (i64)128 + threadIdx.x, y = i / q, x = i % q;
  if (y >= p) return;
  f32 sum = c[y * cstride + x];
  for (int s = 0; s < seqs; s++) {
    if (starts[s] == starts[s + 1]) continue;
    f32 own = 0;
    for (i64 r = starts[s]; r < starts[s + 1]; r++) own = fmaf(a[r * astride + y], b[r * bstride + x], own);
    sum = fmaf((f32)alpha, own, sum);
  }
  c[y * cstride + x] = sum;
}
