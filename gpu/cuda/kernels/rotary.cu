// rotary.cu: what happens to queries, keys and values between projection and
// attention, head by head: bias, RMSNorm, rotation by position.
//
// A head's first half and second half lie `half` elements apart, the first one
// longer by one if dim is odd (then nothing is rotated). A thread holds eight
// of each; `lanes`, a power of 2, threads hold a head, so dim may be up to 512.
// Grid (ceil(rows·heads·lanes/128)), block 128.
#include "base.cuh"

struct Head {
  i64 row, at;        // of the batch; of the head's first element in x
  int head, half, lo; // lo: the thread's first element in either half
  int lanes;
  bool live; // threads behind the last head go along, for the shuffles
};

DEVICE int head_lanes(int half) {
  int lanes = 1;
  while (lanes * 8 < half) lanes *= 2;
  return lanes;
}

DEVICE Head head_of(i64 rows, int heads, int dim) {
  Head h;
  h.half = (dim + 1) / 2;
  h.lanes = head_lanes(h.half);
  const i64 thread = blockIdx.x * (i64)128 + threadIdx.x, n = thread / h.lanes;
  h.row = n / heads;
  h.head = (int)(n - h.row * heads);
  h.lo = (int)(thread % h.lanes) * 8;
  h.at = n * dim;
  h.live = h.row < rows && h.lo < h.half;
  return h;
}

struct Halves {
  f32 a[8], b[8];
};

template <class T> DEVICE Halves load_head(const T *x, const Head &h, int dim) {
  Halves v;
  const bool fast = h.half * 2 == dim && wide(h.half, x);
  load8(v.a, x, h.lo, h.live ? h.half : 0, fast && h.live);
  load8(v.b, x + h.half, h.lo, h.live ? dim - h.half : 0, fast && h.live);
  return v;
}

template <class T> DEVICE void store_head(T *x, const Halves &v, const Head &h, int dim) {
  if (!h.live) return;
  const bool fast = h.half * 2 == dim && wide(h.half, x);
  store8(x, v.a, h.lo, h.half, fast);
  store8(x + h.half, v.b, h.lo, dim - h.half, fast);
}

// rotate turns each pair (a, b) by its angle: back if sign is -1.
DEVICE void rotate(Halves &v, const f32 *cos, const f32 *sin, const i32 *pos, const Head &h, f32 sign) {
  if (!h.live) return;
  f32 c[8], s[8];
  const i64 at = (i64)pos[h.row] * h.half;
  const bool fast = wide(h.half, cos, sin);
  load8(c, cos + at, h.lo, h.half, fast);
  load8(s, sin + at, h.lo, h.half, fast);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const f32 a = v.a[i], b = v.b[i];
    v.a[i] = a * c[i] - sign * b * s[i];
    v.b[i] = b * c[i] + sign * a * s[i];
  }
}

// head_sum returns the sum over the lanes of a head.
DEVICE f32 head_sum(f32 v, int lanes) {
#pragma unroll
  for (int o = 16; o > 0; o /= 2) {
    const f32 other = __shfl_xor_sync(ALL, v, o);
    if (o < lanes) v += other;
  }
  return v;
}

template <class W> DEVICE void add_bias(Halves &y, const W *bias, const Head &h, int dim) {
  if (!bias) return;
  const Halves b = load_head(bias + (i64)h.head * dim, h, dim);
#pragma unroll
  for (int i = 0; i < 8; i++) y.a[i] += b.a[i], y.b[i] += b.b[i];
}

template <class T, class W>
DEVICE void rotary(T *out, f32 *inv, const T *x, const W *bias, const W *w, const f32 *cos, const f32 *sin, const i32 *pos,
                   i64 rows, int heads, int dim, f32 eps) {
  const Head h = head_of(rows, heads, dim);
  Halves y = load_head(x + h.at, h, dim);
  add_bias(y, bias, h, dim);
  if (w) {
    f32 sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) sum += y.a[i] * y.a[i] + y.b[i] * y.b[i];
    const f32 r = 1 / sqrtf(head_sum(sum, h.lanes) / dim + eps);
    const Halves u = load_head(w, h, dim);
#pragma unroll
    for (int i = 0; i < 8; i++) y.a[i] *= r * u.a[i], y.b[i] *= r * u.b[i];
    if (h.live && h.lo == 0) inv[h.row * heads + h.head] = r;
  }
  if (cos) rotate(y, cos, sin, pos, h, 1);
  store_head(out + h.at, y, h, dim);
}

// ROTARY: y = x + bias; y = y·inv·w; rotated. bias, w (with inv) and cos (with sin and pos) may be null. out may be x.
//   T *out (rows, heads·dim), f32 *inv (rows, heads), const T *x, const W *bias (heads·dim), const W *w (dim),
//   const f32 *cos (positions, dim/2), const f32 *sin, const i32 *pos (rows), i64 rows, i64 heads, i64 dim, f64 eps
#define ROTARY(name, T, W)                                                                                                  \
  KERNEL(128) name(T *out, f32 *inv, const T *x, const W *bias, const W *w, const f32 *cos, const f32 *sin, const i32 *pos, \
                   i64 rows, i64 heads, i64 dim, f64 eps) {                                                                 \
    rotary(out, inv, x, bias, w, cos, sin, pos, rows, (int)heads, (int)dim, (f32)eps);                                      \
  }
ROTARY(rotary_bf16_bf16, bf16, bf16)
ROTARY(rotary_bf16_f32, bf16, f32)
ROTARY(rotary_f32_bf16, f32, bf16)
ROTARY(rotary_f32_f32, f32, f32)

template <class T, class W>
DEVICE void rotary_back(T *dx, const T *dout, const T *x, const W *bias, const W *w, const f32 *inv, const f32 *cos, const f32 *sin,
                        const i32 *pos, i64 rows, int heads, int dim) {
  const Head h = head_of(rows, heads, dim);
  Halves d = load_head(dout + h.at, h, dim);
  if (cos) rotate(d, cos, sin, pos, h, -1);
  if (w) {
    Halves y = load_head(x + h.at, h, dim);
    add_bias(y, bias, h, dim);
    const Halves u = load_head(w, h, dim);
    f32 sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      d.a[i] *= u.a[i], d.b[i] *= u.b[i];
      sum += d.a[i] * y.a[i] + d.b[i] * y.b[i];
    }
    const f32 r = h.live ? inv[h.row * heads + h.head] : 0, back = head_sum(sum, h.lanes) / dim * r * r;
#pragma unroll
    for (int i = 0; i < 8; i++) d.a[i] = r * (d.a[i] - y.a[i] * back), d.b[i] = r * (d.b[i] - y.b[i] * back);
  }
  store_head(dx + h.at, d, h, dim);
}

// ROTARY_BACK: the gradient to x, which may overwrite dout. x and inv are read only if there is a w.
//   T *dx (rows, heads·dim), const T *dout, const T *x, const W *bias, const W *w, const f32 *inv, const f32 *cos, const f32 *sin,
//   const i32 *pos, i64 rows, i64 heads, i64 dim
#define ROTARY_BACK(name, T, W)                                                                                                 \
  KERNEL(128, 5) name(T *dx, const T *dout, const T *x, const W *bias, const W *w, const f32 *inv, const f32 *cos, const f32 *sin, \
                   const i32 *pos, i64 rows, i64 heads, i64 dim) {                                                              \
    rotary_back(dx, dout, x, bias, w, inv, cos, sin, pos, rows, (int)heads, (int)dim);                                          \
  }
ROTARY_BACK(rotary_back_bf16_bf16, bf16, bf16)
ROTARY_BACK(rotary_back_bf16_f32, bf16, f32)
ROTARY_BACK(rotary_back_f32_bf16, f32, bf16)
ROTARY_BACK(rotary_back_f32_f32, f32, f32)

// ROTARY_BACK_W: dw += Σ dz·y·inv, where dz is dout rotated back, sequence by sequence over rows and then heads. To be run
// before ROTARY_BACK overwrites dout. Grid (ceil(dim/32)), block (32, 8).
//   f32 *dw (dim), const T *dout, const T *x, const W *bias, const f32 *inv, const f32 *cos, const f32 *sin, const i32 *pos,
//   const i32 *starts (seqs+1), i64 seqs, i64 heads, i64 dim
#define ROTARY_BACK_W(name, T, W)                                                                                     \
  KERNEL(256, 4) name(f32 *dw, const T *dout, const T *x, const W *bias, const f32 *inv, const f32 *cos, const f32 *sin, \
                   const i32 *pos, const i32 *starts, i64 seqs, i64 heads, i64 dim) {                                 \
    column_sums(dw, starts, (int)seqs, heads, (int)dim, [=](i64 n, int c) {                                           \
      f32 dz = to_f32(dout[n * dim + c]), y = to_f32(x[n * dim + c]);                                                 \
      if (bias) y += to_f32(bias[n % heads * dim + c]);                                                               \
      if (cos) {                                                                                                      \
        const int half = (int)dim / 2, j = c % half;                                                                  \
        const f32 other = to_f32(dout[n * dim + (c + half) % dim]), s = sin[(i64)pos[n / heads] * half + j];          \
        dz = dz * cos[(i64)pos[n / heads] * half + j] + (c < half ? other : -other) * s;                              \
      }                                                                                                               \
      return dz * y * inv[n];                                                                                         \
    });                                                                                                               \
  }
ROTARY_BACK_W(rotary_back_w_bf16_bf16, bf16, bf16)
ROTARY_BACK_W(rotary_back_w_bf16_f32, bf16, f32)
ROTARY_BACK_W(rotary_back_w_f32_bf16, f32, bf16)
ROTARY_BACK_W(rotary_back_w_f32_f32, f32, f32)

// COLUMN_SUMS: sum += Σ x, sequence by sequence; dbias from dx. Grid (ceil(cols/32)), block (32, 8).
//   f32 *sum (cols), const T *x (rows, cols), const i32 *starts (seqs+1), i64 seqs, i64 cols
#define COLUMN_SUMS(name, T)                                                                                  \
  KERNEL(256, 4) name(f32 *sum, const T *x, const i32 *starts, i64 seqs, i64 cols) {                             \
    column_sums(sum, starts, (int)seqs, 1, (int)cols, [=](i64 r, int c) { return to_f32(x[r * cols + c]); }); \
  }
COLUMN_SUMS(column_sums_bf16, bf16)
COLUMN_SUMS(column_sums_f32, f32)
