// attention_back.cu: the gradients of attention, in two passes that both compute
// the weights p again from lse: one over the keys, which sums dk and dv, and one
// over the rows, which sums dq. FlashAttention-2 makes one pass and adds to dq
// by atomics; two passes cost two more products and give the same bits each time.
#include "attention.cuh"

template <class T> DEVICE void attention_delta(f32 *delta, const T *dout, const T *out, i64 n, i64 dim) {
  const i64 i = blockIdx.x * (i64)4 + threadIdx.x / 32;
  f32 sum = 0;
  if (i < n) {
    const bool fast = wide(dim, dout, out);
    for (i64 j = threadIdx.x % 32 * 8; j < dim; j += 256) {
      f32 a[8], b[8];
      load8(a, dout + i * dim, j, dim, fast);
      load8(b, out + i * dim, j, dim, fast);
#pragma unroll
      for (int e = 0; e < 8; e++) sum += a[e] * b[e];
    }
  }
  sum = warp_sum(sum);
  if (i < n && threadIdx.x % 32 == 0) delta[i] = sum;
}

// ATTENTION_DELTA: delta = Σ dout·out of each row and head. A warp for each. Grid (ceil(rows·heads/4)), block 128.
//   f32 *delta (rows, heads), const T *dout (rows, heads·dim), const T *out, i64 n = rows·heads, i64 dim
#define ATTENTION_DELTA(name, T) \
  KERNEL(128) name(f32 *delta, const T *dout, const T *out, i64 n, i64 dim) { attention_delta(delta, dout, out, n, dim); }
ATTENTION_DELTA(attention_delta_bf16, bf16)
ATTENTION_DELTA(attention_delta_f32, f32)

// A block owns 64 keys of one key/value head, a warp 16 of them. The rows that
// see them go by in tiles, for each query head of the group; scores lie on their
// side, keys × rows, so that they are the left operand of both sums. With Dk and
// Dv both, the sums take E registers of a thread; E = 256 makes a pass for each.
template <int E, int Rows, bool Dk, bool Dv>
DEVICE void attention_back_kv(bf16 *dk, bf16 *dv, const bf16 *dout, const f32 *lse, const f32 *delta, const bf16 *q, const bf16 *k,
                              const bf16 *v, const Tile &t, const Shape &s) {
  constexpr int Pitch = E + 8;
  DYNAMIC_SHARED(bf16, shared);
  bf16 *ks = shared, *vs = ks + 64 * Pitch, *qs = vs + 64 * Pitch, *ds = qs + 2 * Rows * Pitch;
  f32 *lses = (f32 *)(ds + 2 * Rows * Pitch), *deltas = lses + 2 * Rows;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = blockIdx.y, group = s.heads / s.kv;
  const i64 qstride = (i64)s.heads * s.dim, kstride = (i64)s.kv * s.dim;
  const bool fast = wide(s.dim, q, k, v, dout);
  const int len = t.end - t.start, top = t.from - t.start, there = t.end - t.from;
  const int first = top / Rows, last = (min(len, s.window ? top + 63 + s.window : len) - 1) / Rows, tiles = last - first + 1;
  q += t.start * qstride;
  dout += t.start * qstride;
  lse += (i64)t.start * s.heads;
  delta += (i64)t.start * s.heads;
  f32 own_lse = 0, own_delta = 0; // of row threadIdx.x of the tile under way
  auto fetch = [&](int it) {
    const int h = g * group + it / tiles, i0 = (first + it % tiles) * Rows, stage = it % 2 * Rows * Pitch;
    copy_tile<128, Rows, E>(qs + stage, q + i0 * qstride + h * s.dim, qstride, len - i0, s.dim, fast);
    copy_tile<128, Rows, E>(ds + stage, dout + i0 * qstride + h * s.dim, qstride, len - i0, s.dim, fast);
    const int i = i0 + threadIdx.x;
    if (threadIdx.x < Rows && i < len) own_lse = lse[i * s.heads + h], own_delta = delta[i * s.heads + h];
  };
  auto keep = [&](int it) {
    if (threadIdx.x < Rows) lses[it % 2 * Rows + threadIdx.x] = own_lse * LOG2E, deltas[it % 2 * Rows + threadIdx.x] = own_delta;
  };
  copy_tile<128, 64, E>(ks, k + t.from * kstride + g * s.dim, kstride, there, s.dim, fast);
  copy_tile<128, 64, E>(vs, v + t.from * kstride + g * s.dim, kstride, there, s.dim, fast);
  fetch(0);
  copy_commit();
  keep(0);

  const f32 scale2 = s.scale * LOG2E;
  const int low = top + 16 * warp, key = low + lane / 4; // the thread's other key is key + 8
  f32 gk[Dk ? E / 8 : 2][4], gv[Dv ? E / 8 : 2][4];
  clear(gk);
  clear(gv);
  for (int it = 0; it < group * tiles; it++) {
    if (it + 1 < group * tiles) fetch(it + 1);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    const int i0 = (first + it % tiles) * Rows, stage = it % 2 * Rows * Pitch;
    const f32 *l = lses + it % 2 * Rows, *d = deltas + it % 2 * Rows;
    if (i0 + Rows > low) { // else no row of the tile sees a key of the warp
      f32 p[Rows / 8][4];
      clear(p);
      multiply<Rows / 8, E>(p, ks + 16 * warp * Pitch, qs + stage);
#pragma unroll
      for (int n = 0; n < Rows / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const int c = 8 * n + lane % 4 * 2 + e % 2, i = i0 + c;
          p[n][e] = i < len && sees(i, key + e / 2 * 8, s.window) ? power2(p[n][e] * scale2 - l[c]) : 0;
        }
      if (Dv) multiply_rows(gv, p, ds + stage);
      if (Dk) {
        f32 dp[Rows / 8][4];
        clear(dp);
        multiply<Rows / 8, E>(dp, vs + 16 * warp * Pitch, ds + stage);
#pragma unroll
        for (int n = 0; n < Rows / 8; n++)
#pragma unroll
          for (int e = 0; e < 4; e++) p[n][e] *= dp[n][e] - d[8 * n + lane % 4 * 2 + e % 2];
        multiply_rows(gk, p, qs + stage);
      }
    }
    keep(it + 1); // nobody reads that stage before the barriers
    __syncthreads();
  }
  const i64 at = (t.from + 16 * warp) * kstride + g * s.dim;
  if (Dk) store_rows(dk + at, kstride, gk, s.scale, s.scale, there - 16 * warp, s.dim);
  if (Dv) store_rows(dv + at, kstride, gv, 1, 1, there - 16 * warp, s.dim);
}

// ATTENTION_BACK_KV: dk and dv. Grid (ceil(rows/64)+seqs, kv), block 128, dynamic shared memory
// 2·(128+4·Rows)·(E+8) + 16·Rows bytes.
//   bf16 *dk (rows, kv·dim), bf16 *dv, const bf16 *dout (rows, heads·dim), const f32 *lse (rows, heads), const f32 *delta,
//   const bf16 *q, const bf16 *k, const bf16 *v, const i32 *starts (seqs+1), i64 seqs, i64 rows, i64 heads, i64 kv, i64 dim, i64 window, f64 scale
#define ATTENTION_BACK_KV(name, E, Rows)                                                                                      \
  KERNEL(128, 2) name(bf16 *dk, bf16 *dv, const bf16 *dout, const f32 *lse, const f32 *delta, const bf16 *q, const bf16 *k,   \
                   const bf16 *v, const i32 *starts, i64 seqs, i64 rows, i64 heads, i64 kv, i64 dim, i64 window, f64 scale) { \
    const Shape s = {(int)rows, (int)heads, (int)kv, (int)dim, (int)window, (f32)scale};                                      \
    Tile t;                                                                                                                   \
    if (!find_tile(t, starts, (int)seqs, s.rows, blockIdx.x, 64, false)) return;                                                     \
    if (t.padding) {                                                                                                          \
      const i64 stride = kv * dim, at = t.from * stride + blockIdx.y * dim;                                                   \
      zero_rows(dk + at, stride, s.dim, min(64, t.end - t.from));                                                             \
      zero_rows(dv + at, stride, s.dim, min(64, t.end - t.from));                                                             \
      return;                                                                                                                 \
    }                                                                                                                         \
    if (E <= 128) {                                                                                                           \
      attention_back_kv<E, Rows, E <= 128, true>(dk, dv, dout, lse, delta, q, k, v, t, s);                                    \
      return;                                                                                                                 \
    }                                                                                                                         \
    attention_back_kv<E, Rows, false, true>(dk, dv, dout, lse, delta, q, k, v, t, s);                                         \
    attention_back_kv<E, Rows, true, false>(dk, dv, dout, lse, delta, q, k, v, t, s);                                         \
  }
ATTENTION_BACK_KV(attention_back_kv_bf16_32, 32, 64)
ATTENTION_BACK_KV(attention_back_kv_bf16_64, 64, 64)
ATTENTION_BACK_KV(attention_back_kv_bf16_128, 128, 32)
ATTENTION_BACK_KV(attention_back_kv_bf16_256, 256, 16)

// A block owns 64 rows of one head, as in the forward pass.
template <int E, int Keys>
DEVICE void attention_back_q(bf16 *dq, const bf16 *dout, const f32 *lse, const f32 *delta, const bf16 *q, const bf16 *k, const bf16 *v,
                             const i32 *starts, int seqs, Shape s) {
  constexpr int Pitch = E + 8;
  DYNAMIC_SHARED(bf16, shared);
  bf16 *qs = shared, *ds = qs + 64 * Pitch, *ks = ds + 64 * Pitch, *vs = ks + 2 * Keys * Pitch;
  Tile t;
  if (!find_tile(t, starts, seqs, s.rows, blockIdx.x, 64, true)) return; // the rows with most keys first
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, h = blockIdx.y, g = h / (s.heads / s.kv);
  const i64 qstride = (i64)s.heads * s.dim, kstride = (i64)s.kv * s.dim, at = t.from * qstride + h * s.dim;
  if (t.padding) {
    zero_rows(dq + at, qstride, s.dim, min(64, t.end - t.from));
    return;
  }
  k += t.start * kstride + g * s.dim;
  v += t.start * kstride + g * s.dim;
  const bool fast = wide(s.dim, q, k, v, dout);
  const int len = t.end - t.start, top = t.from - t.start;
  const int first = s.window ? max(0, top - s.window + 1) / Keys : 0, last = (min(top + 64, len) - 1) / Keys;
  auto fetch = [&](int j) {
    copy_tile<128, Keys, E>(ks + j % 2 * Keys * Pitch, k + j * Keys * kstride, kstride, len - j * Keys, s.dim, fast);
    copy_tile<128, Keys, E>(vs + j % 2 * Keys * Pitch, v + j * Keys * kstride, kstride, len - j * Keys, s.dim, fast);
  };
  copy_tile<128, 64, E>(qs, q + at, qstride, t.end - t.from, s.dim, fast);
  copy_tile<128, 64, E>(ds, dout + at, qstride, t.end - t.from, s.dim, fast);
  fetch(first);
  copy_commit();

  const int low = top + 16 * warp, row = low + lane / 4;
  const f32 scale2 = s.scale * LOG2E;
  f32 l[2] = {0, 0}, d[2] = {0, 0}, o[E / 8][4];
  for (int i = 0; i < 2; i++)
    if (row + 8 * i < len) {
      const i64 x = (i64)(t.start + row + 8 * i) * s.heads + h;
      l[i] = lse[x] * LOG2E, d[i] = delta[x];
    }
  clear(o);
  for (int j = first; j <= last; j++) {
    if (j < last) fetch(j + 1);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    const int j0 = j * Keys, stage = j % 2 * Keys * Pitch;
    if (j0 <= low + 15) {
      f32 p[Keys / 8][4], dp[Keys / 8][4];
      clear(p);
      clear(dp);
      multiply<Keys / 8, E>(p, qs + 16 * warp * Pitch, ks + stage);
      multiply<Keys / 8, E>(dp, ds + 16 * warp * Pitch, vs + stage);
#pragma unroll
      for (int n = 0; n < Keys / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const bool seen = sees(row + e / 2 * 8, j0 + 8 * n + lane % 4 * 2 + e % 2, s.window);
          p[n][e] = seen ? power2(p[n][e] * scale2 - l[e / 2]) * (dp[n][e] - d[e / 2]) : 0;
        }
      multiply_rows(o, p, ks + stage);
    }
    __syncthreads();
  }
  store_rows(dq + at + 16 * warp * qstride, qstride, o, s.scale, s.scale, t.end - t.from - 16 * warp, s.dim);
}

// ATTENTION_BACK_Q: dq. Grid (ceil(rows/64)+seqs, heads), block 128, dynamic shared memory 2·(128+4·Keys)·(E+8) bytes.
//   bf16 *dq (rows, heads·dim), const bf16 *dout, const f32 *lse (rows, heads), const f32 *delta, const bf16 *q, const bf16 *k, const bf16 *v,
//   const i32 *starts (seqs+1), i64 seqs, i64 rows, i64 heads, i64 kv, i64 dim, i64 window, f64 scale
#define ATTENTION_BACK_Q(name, E, Keys)                                                                                          \
  KERNEL(128, 2) name(bf16 *dq, const bf16 *dout, const f32 *lse, const f32 *delta, const bf16 *q, const bf16 *k, const bf16 *v, \
                   const i32 *starts, i64 seqs, i64 rows, i64 heads, i64 kv, i64 dim, i64 window, f64 scale) {                   \
    const Shape s = {(int)rows, (int)heads, (int)kv, (int)dim, (int)window, (f32)scale};                                         \
    attention_back_q<E, Keys>(dq, dout, lse, delta, q, k, v, starts, (int)seqs, s);                                              \
  }
ATTENTION_BACK_Q(attention_back_q_bf16_32, 32, 64)
ATTENTION_BACK_Q(attention_back_q_bf16_64, 64, 64)
ATTENTION_BACK_Q(attention_back_q_bf16_128, 128, 32)
ATTENTION_BACK_Q(attention_back_q_bf16_256, 256, 16)
