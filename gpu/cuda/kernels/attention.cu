// attention.cu: softmax attention, forward, as FlashAttention-2 does it: a warp
// owns 16 rows, keys and values go by in tiles, maximum and sum of each row are
// kept up as they come (Dao, arXiv 2307.08691).
#include "attention.cuh"

// E is dim rounded up to what there is a kernel for, Keys the rows of a tile of keys.
template <int E, int Keys>
DEVICE void attention(bf16 *out, f32 *lse, const bf16 *q, const bf16 *k, const bf16 *v, const i32 *starts, int seqs, Shape s) {
  constexpr int Pitch = E + 8;
  DYNAMIC_SHARED(bf16, shared);
  bf16 *qs = shared, *ks = qs + 64 * Pitch, *vs = ks + 2 * Keys * Pitch;
  Tile t;
  if (!find_tile(t, starts, seqs, s.rows, blockIdx.x, 64, true)) return; // the rows with most keys first
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, h = blockIdx.y, g = h / (s.heads / s.kv);
  const i64 qstride = (i64)s.heads * s.dim, kstride = (i64)s.kv * s.dim;
  out += t.from * qstride + h * s.dim;
  lse += (i64)t.from * s.heads + h;
  if (t.padding) {
    const int n = min(64, t.end - t.from);
    zero_rows(out, qstride, s.dim, n);
    for (int i = threadIdx.x; i < n; i += 128) lse[i * s.heads] = 0;
    return;
  }
  q += t.from * qstride + h * s.dim;
  k += t.start * kstride + g * s.dim;
  v += t.start * kstride + g * s.dim;
  const bool fast = wide(s.dim, q, k, v);
  const int len = t.end - t.start, top = t.from - t.start; // of the tile, in its sequence
  const int first = s.window ? max(0, top - s.window + 1) / Keys : 0, last = (min(top + 64, len) - 1) / Keys;
  auto fetch = [&](int j) {
    copy_tile<128, Keys, E>(ks + j % 2 * Keys * Pitch, k + j * Keys * kstride, kstride, len - j * Keys, s.dim, fast);
    copy_tile<128, Keys, E>(vs + j % 2 * Keys * Pitch, v + j * Keys * kstride, kstride, len - j * Keys, s.dim, fast);
  };
  copy_tile<128, 64, E>(qs, q, qstride, t.end - t.from, s.dim, fast);
  fetch(first);
  copy_commit();

  const int low = top + 16 * warp, row = low + lane / 4; // the warp's first row, the thread's; another is row + 8
  const f32 scale2 = s.scale * LOG2E;
  f32 o[E / 8][4], best[2] = {-infinity(), -infinity()}, sum[2] = {0, 0};
  clear(o);
  for (int j = first; j <= last; j++) {
    if (j < last) fetch(j + 1);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    const int j0 = j * Keys;
    if (j0 <= low + 15) { // else no row of the warp sees a key of the tile
      f32 p[Keys / 8][4];
      clear(p);
      multiply<Keys / 8, E>(p, qs + 16 * warp * Pitch, ks + j % 2 * Keys * Pitch);
      if (j0 + Keys - 1 > low || (s.window && low + 15 - j0 >= s.window)) {
#pragma unroll
        for (int n = 0; n < Keys / 8; n++)
#pragma unroll
          for (int e = 0; e < 4; e++)
            if (!sees(row + e / 2 * 8, j0 + 8 * n + lane % 4 * 2 + e % 2, s.window)) p[n][e] = -infinity();
      }
#pragma unroll
      for (int i = 0; i < 2; i++) { // rows row and row + 8; a row lies in the four lanes of a quad
        f32 m = best[i];
#pragma unroll
        for (int n = 0; n < Keys / 8; n++) m = fmaxf(m, fmaxf(p[n][2 * i], p[n][2 * i + 1]));
        m = fmaxf(m, __shfl_xor_sync(ALL, m, 1));
        m = fmaxf(m, __shfl_xor_sync(ALL, m, 2));
        const f32 base = m == -infinity() ? 0 : m * scale2; // a row may see nothing of a tile
        const f32 fade = power2(best[i] * scale2 - base);
        best[i] = m;
        sum[i] *= fade;
#pragma unroll
        for (int n = 0; n < Keys / 8; n++)
#pragma unroll
          for (int e = 2 * i; e < 2 * i + 2; e++) {
            p[n][e] = power2(p[n][e] * scale2 - base);
            sum[i] += p[n][e];
          }
#pragma unroll
        for (int n = 0; n < E / 8; n++) o[n][2 * i] *= fade, o[n][2 * i + 1] *= fade;
      }
      multiply_rows(o, p, vs + j % 2 * Keys * Pitch);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    sum[i] += __shfl_xor_sync(ALL, sum[i], 1);
    sum[i] += __shfl_xor_sync(ALL, sum[i], 2);
    const int r = 16 * warp + lane / 4 + 8 * i;
    if (lane % 4 == 0 && t.from + r < t.end) lse[r * s.heads] = best[i] * s.scale + logf(sum[i]);
  }
  store_rows(out + 16 * warp * qstride, qstride, o, 1 / sum[0], 1 / sum[1], t.end - t.from - 16 * warp, s.dim);
}

// ATTENTION: for dim up to E. Grid (ceil(rows/64)+seqs, heads), block 128, dynamic shared memory 2·(64+4·Keys)·(E+8) bytes.
//   bf16 *out (rows, heads·dim), f32 *lse (rows, heads), const bf16 *q (rows, heads·dim), const bf16 *k (rows, kv·dim), const bf16 *v,
//   const i32 *starts (seqs+1), i64 seqs, i64 rows, i64 heads, i64 kv, i64 dim, i64 window, f64 scale
#define ATTENTION(name, E, Keys)                                                                                               \
  KERNEL(128, 2) name(bf16 *out, f32 *lse, const bf16 *q, const bf16 *k, const bf16 *v, const i32 *starts, i64 seqs, i64 rows, \
                   i64 heads, i64 kv, i64 dim, i64 window, f64 scale) {                                                        \
    const Shape s = {(int)rows, (int)heads, (int)kv, (int)dim, (int)window, (f32)scale};                                       \
    attention<E, Keys>(out, lse, q, k, v, starts, (int)seqs, s);                                                               \
  }
ATTENTION(attention_bf16_32, 32, 64)
ATTENTION(attention_bf16_64, 64, 64)
ATTENTION(attention_bf16_128, 128, 64)
ATTENTION(attention_bf16_256, 256, 32)
