// decode.cu: attention of new rows over caches of keys and values.
//
// The heads of a group are the 16 rows of the tensor cores' left operand, so
// that keys and values are read once for all of them. A cache is cut at every
// 256th position, whatever its length, and the parts are joined in their order:
// a row's bits depend on its own length only.
#include "attention.cuh"

enum { Split = 256, Step = 64 }; // positions of a block, and of one step of its four warps

// Part is what a block leaves: sums of dim values times exponentials, in base
// 2, relative to the best score; of these the sum; the best score. dim+2 floats.
template <int E>
DEVICE void attention_cached(f32 *part, const bf16 *q, const bf16 *keys, const bf16 *values, const i32 *slot, const i32 *len, i64 context,
                             Shape s) {
  constexpr int Pitch = E + 8;
  DYNAMIC_SHARED(bf16, shared);
  bf16 *qs = shared, *ks = qs + 16 * Pitch, *vs = ks + 2 * Step * Pitch;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, split = blockIdx.x, row = blockIdx.z;
  const int group = s.heads / s.kv, tiles = (group + 15) / 16, g = blockIdx.y / tiles, h0 = g * group + blockIdx.y % tiles * 16;
  const int heads = min(16, (g + 1) * group - h0);
  const int end = min(len[row], (split + 1) * Split), seen = s.window ? max(0, len[row] - s.window) : 0;
  const int first = max(split * Split, seen / Step * Step); // steps begin at multiples of 64
  if (first >= end) return;
  const i64 stride = (i64)s.kv * s.dim;
  q += ((i64)row * s.heads + h0) * s.dim;
  keys += slot[row] * context * stride + g * s.dim;
  values += slot[row] * context * stride + g * s.dim;
  const bool fast = wide(s.dim, q, keys, values);
  auto fetch = [&](int j, int stage) {
    copy_tile<128, Step, E>(ks + stage * Step * Pitch, keys + j * stride, stride, end - j, s.dim, fast);
    copy_tile<128, Step, E>(vs + stage * Step * Pitch, values + j * stride, stride, end - j, s.dim, fast);
  };
  copy_tile<128, 16, E>(qs, q, s.dim, heads, s.dim, fast);
  fetch(first, 0);
  copy_commit();

  // A warp takes 16 of the 64 positions of each step.
  const f32 scale2 = s.scale * LOG2E;
  f32 o[E / 8][4], best[2] = {-infinity(), -infinity()}, sum[2] = {0, 0};
  clear(o);
  for (int j = first, stage = 0; j < end; j += Step, stage ^= 1) {
    if (j + Step < end) fetch(j + Step, stage ^ 1);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    f32 p[2][4];
    clear(p);
    const int at = stage * Step * Pitch + 16 * warp * Pitch, key = j + 16 * warp + lane % 4 * 2;
    multiply<2, E>(p, qs, ks + at);
#pragma unroll
    for (int i = 0; i < 2; i++) { // heads lane/4 and lane/4 + 8
      f32 m = best[i];
#pragma unroll
      for (int n = 0; n < 2; n++)
#pragma unroll
        for (int e = 2 * i; e < 2 * i + 2; e++) {
          const int k = key + 8 * n + e % 2;
          p[n][e] = k >= seen && k < end ? p[n][e] * scale2 : -infinity();
          m = fmaxf(m, p[n][e]);
        }
      m = fmaxf(m, __shfl_xor_sync(ALL, m, 1));
      m = fmaxf(m, __shfl_xor_sync(ALL, m, 2));
      const f32 base = m == -infinity() ? 0 : m, fade = power2(best[i] - base);
      best[i] = m;
      sum[i] *= fade;
#pragma unroll
      for (int n = 0; n < 2; n++)
#pragma unroll
        for (int e = 2 * i; e < 2 * i + 2; e++) {
          p[n][e] = power2(p[n][e] - base);
          sum[i] += p[n][e];
        }
#pragma unroll
      for (int n = 0; n < E / 8; n++) o[n][2 * i] *= fade, o[n][2 * i + 1] *= fade;
    }
    multiply_rows(o, p, vs + at);
    __syncthreads();
  }

  // The warps' sums are joined through shared memory, in their order.
  f32 *os = (f32 *)shared; // (4, 16, E)
  __shared__ f32 bests[4][16], sums[4][16];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int h = lane / 4 + 8 * i;
    sum[i] += __shfl_xor_sync(ALL, sum[i], 1);
    sum[i] += __shfl_xor_sync(ALL, sum[i], 2);
    if (lane % 4 == 0) bests[warp][h] = best[i], sums[warp][h] = sum[i];
#pragma unroll
    for (int n = 0; n < E / 8; n++) {
      f32 *x = os + (warp * 16 + h) * E + 8 * n + lane % 4 * 2;
      x[0] = o[n][2 * i], x[1] = o[n][2 * i + 1];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < heads * E; i += 128) {
    const int h = i / E, e = i % E;
    f32 top = bests[0][h], all = 0, x = 0; // one position at least is seen
    for (int w = 1; w < 4; w++) top = fmaxf(top, bests[w][h]);
    for (int w = 0; w < 4; w++) {
      const f32 fade = power2(bests[w][h] - top);
      all = fmaf(fade, sums[w][h], all);
      x = fmaf(fade, os[(w * 16 + h) * E + e], x);
    }
    f32 *to = part + (((i64)row * s.heads + h0 + h) * gridDim.x + split) * (s.dim + 2);
    if (e < s.dim) to[e] = x;
    if (e == 0) to[s.dim] = all, to[s.dim + 1] = top;
  }
}

// ATTENTION_CACHED: row i sees the first len[i] positions of slot[i]; len may be 0. For dim up to E.
// Grid (splits, kv·ceil(heads/kv/16), rows) with splits = ceil(context/256), block 128, dynamic shared memory 2·(16+4·64)·(E+8) bytes.
//   bf16 *out: not used, f32 *part (rows, heads, splits, dim+2), const bf16 *q (rows, heads·dim), const bf16 *keys (slots, context, kv·dim),
//   const bf16 *values, const i32 *slot (rows), const i32 *len (rows), i64 rows, i64 context, i64 heads, i64 kv, i64 dim, i64 window, f64 scale
#define ATTENTION_CACHED(name, E)                                                                                              \
  KERNEL(128, 2) name(bf16 *, f32 *part, const bf16 *q, const bf16 *keys, const bf16 *values, const i32 *slot, const i32 *len, \
                      i64 rows, i64 context, i64 heads, i64 kv, i64 dim, i64 window, f64 scale) {                              \
    const Shape s = {(int)rows, (int)heads, (int)kv, (int)dim, (int)window, (f32)scale};                                       \
    attention_cached<E>(part, q, keys, values, slot, len, context, s);                                                         \
  }
ATTENTION_CACHED(attention_cached_bf16_32, 32)
ATTENTION_CACHED(attention_cached_bf16_64, 64)
ATTENTION_CACHED(attention_cached_bf16_128, 128)
ATTENTION_CACHED(attention_cached_bf16_256, 256)

// ATTENTION_JOIN: out from the parts, a warp for each row and head. Grid (ceil(rows·heads/4)), block 128.
//   bf16 *out (rows, heads·dim), const f32 *part (rows, heads, splits, dim+2), const i32 *len (rows), i64 rows, i64 heads, i64 splits,
//   i64 dim, i64 window
KERNEL(128) attention_join_bf16(bf16 *out, const f32 *part, const i32 *len, i64 rows, i64 heads, i64 splits, i64 dim, i64 window) {
  const i64 n = blockIdx.x * (i64)4 + threadIdx.x / 32;
  if (n >= rows * heads) return;
  const int length = len[n / heads], first = window ? max(0, length - (int)window) / Split : 0, end = (length + Split - 1) / Split;
  part += n * splits * (dim + 2);
  f32 top = -infinity();
  for (int i = first; i < end; i++) top = fmaxf(top, part[i * (dim + 2) + dim + 1]);
  for (i64 e = threadIdx.x % 32; e < dim; e += 32) {
    f32 all = 0, x = 0;
    for (int i = first; i < end; i++) {
      const f32 *p = part + i * (dim + 2), fade = power2(p[dim + 1] - top);
      all = fmaf(fade, p[dim], all);
      x = fmaf(fade, p[e], x);
    }
    out[n * dim + e] = to<bf16>(length > 0 ? x / all : 0);
  }
}

template <class T> DEVICE void cache_write(T *cache, const T *rows, const i32 *slot, const i32 *pos, i64 context, i64 dim) {
  const i64 row = blockIdx.x;
  if (pos[row] < 0) return;
  cache += (slot[row] * context + pos[row]) * dim;
  rows += row * dim;
  const bool fast = wide(dim, cache, rows);
  for (i64 j = threadIdx.x * 8; j < dim; j += 128 * 8) {
    f32 v[8];
    load8(v, rows, j, dim, fast);
    store8(cache, v, j, dim, fast);
  }
}

// CACHE_WRITE: cache[slot[i], pos[i]] = rows[i]; a row with a negative pos is left out. Grid (rows), block 128.
//   T *cache (slots, context, dim), const T *rows (rows, dim), const i32 *slot (rows), const i32 *pos (rows), i64 context, i64 dim
#define CACHE_WRITE(name, T)                                                                         \
  KERNEL(128) name(T *cache, const T *rows, const i32 *slot, const i32 *pos, i64 context, i64 dim) { \
    cache_write(cache, rows, slot, pos, context, dim);                                               \
  }
CACHE_WRITE(cache_write_bf16, bf16)
CACHE_WRITE(cache_write_f32, f32)
