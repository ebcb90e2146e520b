// attention_f32.cu: attention without tensor cores, for tests: one thread for
// each row and head, which sums into memory that is its own.
#include "base.cuh"

DEVICE f32 dot(const f32 *a, const f32 *b, int n) {
  f32 sum = 0;
  for (int e = 0; e < n; e++) sum = fmaf(a[e], b[e], sum);
  return sum;
}

// attend writes the attention of q over n keys and values that lie stride
// elements apart, and returns the log of the sum of exponentials.
DEVICE f32 attend(f32 *out, const f32 *q, const f32 *k, const f32 *v, int n, i64 stride, int dim, f32 scale) {
  f32 top = -infinity(), sum = 0;
  for (int j = 0; j < n; j++) {
    const f32 x = dot(q, k + j * stride, dim) * scale, t = fmaxf(top, x);
    sum = sum * expf(top - t) + expf(x - t);
    top = t;
  }
  const f32 lse = top + logf(sum);
  for (int e = 0; e < dim; e++) out[e] = 0;
  for (int j = 0; j < n; j++) {
    const f32 p = expf(dot(q, k + j * stride, dim) * scale - lse);
    for (int e = 0; e < dim; e++) out[e] = fmaf(p, v[j * stride + e], out[e]);
  }
  return lse;
}

// ATTENTION: grid (ceil(rows·heads/128)), block 128; parameters as of attention_bf16.
KERNEL(128) attention_f32(f32 *out, f32 *lse, const f32 *q, const f32 *k, const f32 *v, const i32 *starts, i64 seqs, i64 rows, i64 heads,
                          i64 kv, i64 dim, i64 window, f64 scale) {
  const i64 n = blockIdx.x * (i64)128 + threadIdx.x, i = n / heads, g = n % heads / (heads / kv);
  if (i >= rows) return;
  const int s = sequence_of(starts, (int)seqs, i);
  const i64 first = s == seqs ? i + 1 : window ? max((i64)starts[s], i - window + 1) : starts[s]; // padding sees nothing
  const f32 l = attend(out + n * dim, q + n * dim, k + (first * kv + g) * dim, v + (first * kv + g) * dim, (int)(i + 1 - first), kv * dim,
                       (int)dim, (f32)scale);
  lse[n] = s == seqs ? 0 : l;
}

// ATTENTION_CACHED: grid (ceil(rows·heads/128)), block 128; parameters as of attention_cached_bf16, but part is not used.
KERNEL(128) attention_cached_f32(f32 *out, f32 *, const f32 *q, const f32 *keys, const f32 *values, const i32 *slot, const i32 *len, i64 rows,
                                 i64 context, i64 heads, i64 kv, i64 dim, i64 window, f64 scale) {
  const i64 n = blockIdx.x * (i64)128 + threadIdx.x, i = n / heads, g = n % heads / (heads / kv);
  if (i >= rows) return;
  const i64 first = window ? max(len[i] - window, (i64)0) : 0, at = ((slot[i] * context + first) * kv + g) * dim;
  attend(out + n * dim, q + n * dim, keys + at, values + at, (int)(len[i] - first), kv * dim, (int)dim, (f32)scale);
}

// ATTENTION_BACK_Q: grid (ceil(rows·heads/128)), block 128; parameters as of attention_back_q_bf16.
KERNEL(128) attention_back_q_f32(f32 *dq, const f32 *dout, const f32 *lse, const f32 *delta, const f32 *q, const f32 *k, const f32 *v,
                                 const i32 *starts, i64 seqs, i64 rows, i64 heads, i64 kv, i64 dim, i64 window, f64 scale) {
  const i64 n = blockIdx.x * (i64)128 + threadIdx.x, i = n / heads, g = n % heads / (heads / kv);
  if (i >= rows) return;
  const int s = sequence_of(starts, (int)seqs, i);
  const i64 first = s == seqs ? i + 1 : window ? max((i64)starts[s], i - window + 1) : starts[s];
  f32 *d = dq + n * dim;
  for (int e = 0; e < dim; e++) d[e] = 0;
  for (i64 j = first; j <= i; j++) {
    const f32 *kj = k + (j * kv + g) * dim, *vj = v + (j * kv + g) * dim;
    const f32 p = expf(dot(q + n * dim, kj, (int)dim) * (f32)scale - lse[n]);
    const f32 ds = p * (dot(dout + n * dim, vj, (int)dim) - delta[n]) * (f32)scale;
    for (int e = 0; e < dim; e++) d[e] = fmaf(ds, kj[e], d[e]);
  }
}

// ATTENTION_BACK_KV: grid (ceil(rows·kv/128)), block 128; parameters as of attention_back_kv_bf16.
KERNEL(128) attention_back_kv_f32(f32 *dk, f32 *dv, const f32 *dout, const f32 *lse, const f32 *delta, const f32 *q, const f32 *k, const f32 *v,
                                  const i32 *starts, i64 seqs, i64 rows, i64 heads, i64 kv, i64 dim, i64 window, f64 scale) {
  const i64 n = blockIdx.x * (i64)128 + threadIdx.x, j = n / kv, g = n % kv;
  if (j >= rows) return;
  const int s = sequence_of(starts, (int)seqs, j);
  const i64 end = s == seqs ? j : window ? min((i64)starts[s + 1], j + window) : starts[s + 1];
  f32 *gk = dk + n * dim, *gv = dv + n * dim;
  for (int e = 0; e < dim; e++) gk[e] = gv[e] = 0;
  for (i64 h = g * (heads / kv); h < (g + 1) * (heads / kv); h++)
    for (i64 i = j; i < end; i++) {
      const i64 m = i * heads + h;
      const f32 p = expf(dot(q + m * dim, k + n * dim, (int)dim) * (f32)scale - lse[m]);
      const f32 ds = p * (dot(dout + m * dim, v + n * dim, (int)dim) - delta[m]) * (f32)scale;
      for (int e = 0; e < dim; e++) gk[e] = fmaf(ds, q[m * dim + e], gk[e]), gv[e] = fmaf(p, dout[m * dim + e], gv[e]);
    }
}
