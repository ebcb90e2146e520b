// norm.cu: RMSNorm with the residual addition before it.
#include "base.cuh"

// The second pass reads what the first has just touched, from the caches.
template <class T, class W> DEVICE void rmsnorm(T *out, f32 *inv, T *x, const T *add, const W *w, i64 dim, f32 eps) {
  const i64 row = blockIdx.x;
  out += row * dim;
  x += row * dim;
  if (add) add += row * dim;
  const bool fast = wide(dim, out, x, add, w);
  f32 v[8], a[8], sum = 0;
  for (i64 j = threadIdx.x * 8; j < dim; j += 128 * 8) {
    load8(v, x, j, dim, fast);
    if (add) {
      load8(a, add, j, dim, fast);
#pragma unroll
      for (int i = 0; i < 8; i++) v[i] = to_f32(to<T>(v[i] + a[i])); // what the backward pass will see
      store8(x, v, j, dim, fast);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) sum += v[i] * v[i];
  }
  const f32 r = 1 / sqrtf(block_sum<128>(sum) / dim + eps);
  if (threadIdx.x == 0) inv[row] = r;
  for (i64 j = threadIdx.x * 8; j < dim; j += 128 * 8) { // the elements that this thread wrote
    load8(v, x, j, dim, fast);
    load8(a, w, j, dim, fast);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] *= r * a[i];
    store8(out, v, j, dim, fast);
  }
}

// RMSNORM: x += add, then out = x·inv·w. Grid (rows), block 128. out may be neither x nor add.
//   T *out (rows, dim), f32 *inv (rows), T *x (rows, dim), const T *add (rows, dim) or null, const W *w (dim), i64 dim, f64 eps
#define RMSNORM(name, T, W)                                                              \
  KERNEL(128) name(T *out, f32 *inv, T *x, const T *add, const W *w, i64 dim, f64 eps) { \
    rmsnorm(out, inv, x, add, w, dim, (f32)eps);                                         \
  }
RMSNORM(rmsnorm_bf16_bf16, bf16, bf16)
RMSNORM(rmsnorm_bf16_f32, bf16, f32)
RMSNORM(rmsnorm_f32_bf16, f32, bf16)
RMSNORM(rmsnorm_f32_f32, f32, f32)

template <class T, class W>
DEVICE void rmsnorm_back(T *dx, const T *dout, const T *x, const W *w, const f32 *inv, i64 dim) {
  const i64 row = blockIdx.x;
  dx += row * dim;
  dout += row * dim;
  x += row * dim;
  const bool fast = wide(dim, dx, dout, x, w);
  f32 g[8], u[8], v[8], sum = 0;
  for (i64 j = threadIdx.x * 8; j < dim; j += 128 * 8) {
    load8(g, dout, j, dim, fast);
    load8(u, w, j, dim, fast);
    load8(v, x, j, dim, fast);
#pragma unroll
    for (int i = 0; i < 8; i++) sum += g[i] * u[i] * v[i];
  }
  const f32 r = inv[row], back = block_sum<128>(sum) / dim * r * r;
  for (i64 j = threadIdx.x * 8; j < dim; j += 128 * 8) {
    f32 d[8];
    load8(d, dx, j, dim, fast);
    load8(g, dout, j, dim, fast);
    load8(u, w, j, dim, fast);
    load8(v, x, j, dim, fast);
#pragma unroll
    for (int i = 0; i < 8; i++) d[i] += r * (g[i] * u[i] - v[i] * back);
    store8(dx, d, j, dim, fast);
  }
}

// RMSNORM_BACK: with g = dout·w, dx += inv·(g - x·inv²·mean(g·x)). Grid (rows), block 128.
//   T *dx (rows, dim), const T *dout (rows, dim), const T *x (rows, dim), const W *w (dim), const f32 *inv (rows), i64 dim
#define RMSNORM_BACK(name, T, W)                                                            \
  KERNEL(128) name(T *dx, const T *dout, const T *x, const W *w, const f32 *inv, i64 dim) { \
    rmsnorm_back(dx, dout, x, w, inv, dim);                                                 \
  }
RMSNORM_BACK(rmsnorm_back_bf16_bf16, bf16, bf16)
RMSNORM_BACK(rmsnorm_back_bf16_f32, bf16, f32)
RMSNORM_BACK(rmsnorm_back_f32_bf16, f32, bf16)
RMSNORM_BACK(rmsnorm_back_f32_f32, f32, f32)

// RMSNORM_BACK_W: dw += Σ dout·x·inv, sequence by sequence. Grid (ceil(dim/32)), block (32, 8).
//   f32 *dw (dim), const T *dout (rows, dim), const T *x (rows, dim), const f32 *inv (rows), const i32 *starts (seqs+1), i64 seqs, i64 dim
#define RMSNORM_BACK_W(name, T)                                                                                \
  KERNEL(256) name(f32 *dw, const T *dout, const T *x, const f32 *inv, const i32 *starts, i64 seqs, i64 dim) { \
    column_sums(dw, starts, (int)seqs, 1, (int)dim,                                                            \
                [=](i64 r, int c) { return to_f32(dout[r * dim + c]) * to_f32(x[r * dim + c]) * inv[r]; });    \
  }
RMSNORM_BACK_W(rmsnorm_back_w_bf16, bf16)
RMSNORM_BACK_W(rmsnorm_back_w_f32, f32)
