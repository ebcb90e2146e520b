// convert.cu: element by element. Grid (ceil(n/2048)), block 256.
#include "blocks.cuh"

// CONVERT: dst[i] = src[i], converted.  D *dst, const S *src, i64 n
#define CONVERT(name, D, S)                                      \
  KERNEL(256) name(D *dst, const S *src, i64 n) {             \
    const i64 at = (blockIdx.x * (i64)256 + threadIdx.x) * 8; \
    if (at >= n) return;                                      \
    const bool fast = wide(0, dst, src) && at + 8 <= n;       \
    f32 v[8];                                                 \
    load8(v, src, at, n, fast);                               \
    store8(dst, v, at, n, fast);                              \
  }
CONVERT(convert_bf16_f32, bf16, f32)
CONVERT(convert_f32_bf16, f32, bf16)
CONVERT(convert_bf16_f16, bf16, f16)
CONVERT(convert_bf16_q8_0, bf16, q8_0)
CONVERT(convert_bf16_q4_0, bf16, q4_0)
CONVERT(convert_bf16_q4_1, bf16, q4_1)
CONVERT(convert_bf16_q4_k, bf16, q4_k)
CONVERT(convert_bf16_q6_k, bf16, q6_k)
CONVERT(convert_bf16_nf4, bf16, nf4)
CONVERT(convert_f32_f16, f32, f16)
CONVERT(convert_f32_q8_0, f32, q8_0)
CONVERT(convert_f32_q4_0, f32, q4_0)
CONVERT(convert_f32_q4_1, f32, q4_1)
CONVERT(convert_f32_q4_k, f32, q4_k)
CONVERT(convert_f32_q6_k, f32, q6_k)
CONVERT(convert_f32_nf4, f32, nf4)

// AXPY: y[i] += alpha·x[i].  Y *y, const X *x, i64 n, f64 alpha
#define AXPY(name, Y, X)                                                   \
  KERNEL(256) name(Y *y, const X *x, i64 n, f64 alpha) {                   \
    const i64 at = (blockIdx.x * (i64)256 + threadIdx.x) * 8;              \
    if (at >= n) return;                                                   \
    const bool fast = wide(0, y, x) && at + 8 <= n;                        \
    const f32 a = (f32)alpha;                                              \
    f32 v[8], w[8];                                                        \
    load8(v, y, at, n, fast);                                              \
    load8(w, x, at, n, fast);                                              \
    _Pragma("unroll") for (int i = 0; i < 8; i++) v[i] = fmaf(a, w[i], v[i]); \
    store8(y, v, at, n, fast);                                             \
  }
AXPY(axpy_f32_f32, f32, f32)
AXPY(axpy_f32_bf16, f32, bf16)
AXPY(axpy_bf16_f32, bf16, f32)
AXPY(axpy_bf16_bf16, bf16, bf16)
