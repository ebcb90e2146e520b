// ops.h: loops over elements, which the compiler vectorises for each
// instruction set. Sums keep LANES partial sums whose order does not depend on
// the width of a vector.
#define LANES 32

// e is e^x within 1e-7 of itself: x = n·ln 2 + r, and a polynomial of
// degree 6 in r (the one of Cephes' expf). It stays finite: below -87 it is
// 1e-38, above 88 3e38.
INL float ISA(e)(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.7f ? 88.7f : x;
  union { float f; int32_t i; } n = {x * 1.44269504f + 12582912.f}, scale; // 1.5·2^23: rounds n to an integer
  float k = n.f - 12582912.f, r = x - k * 0.693359375f + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  scale.i = (n.i << 23) + 0x3f800000;
  return p * scale.f;
}

// root is the square root of x >= 0 within 2e-7: three Newton steps for
// 1/sqrt. The library's would keep a loop from being vectorised, for errno.
INL float ISA(root)(float x) {
  union { float f; int32_t i; } y = {x};
  y.i = 0x5f375a86 - (y.i >> 1);
  for (int n = 0; n < 3; n++) y.f *= 1.5f - 0.5f * x * y.f * y.f;
  return x * y.f;
}

INL float ISA(sigmoid)(float x) { return 1 / (1 + ISA(e)(-x)); }

// fold is the sum of LANES partial sums, the upper half added to the lower
// until one is left; peak is their largest.
INL float ISA(fold)(const float *s) {
  const f4u *v = (const f4u *)s;
  f4 a = (v[0] + v[4] + (v[2] + v[6])) + (v[1] + v[5] + (v[3] + v[7]));
  return (a[0] + a[2]) + (a[1] + a[3]);
}
INL float ISA(peak)(const float *s) {
  float m[16];
  for (int j = 0; j < 16; j++) m[j] = s[j] > s[j + 16] ? s[j] : s[j + 16];
  for (int j = 0; j < 8; j++) m[j] = m[j] > m[j + 8] ? m[j] : m[j + 8];
  for (int j = 0; j < 4; j++) m[j] = m[j] > m[j + 4] ? m[j] : m[j + 4];
  float a = m[0] > m[2] ? m[0] : m[2], b = m[1] > m[3] ? m[1] : m[3];
  return a > b ? a : b;
}

static float ISA(dot)(const float *x, const float *y, long n) {
  float s[LANES] = {0};
  long i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) s[j] += x[i + j] * y[i + j];
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; j++) s[j] += x[i + j] * y[i + j];
  for (int j = 0; i < n; i++, j++) s[j] += x[i] * y[i];
  return ISA(fold)(s);
}

// tail copies the last n < LANES elements of x to t, followed by fill.
INL void ISA(tail)(float *t, const float *x, long n, float fill) {
  for (int j = 0; j < LANES; j++) t[j] = fill;
  __builtin_memcpy(t, x, n * 4);
}

static float ISA(largest)(const float *x, long n) {
  float m[LANES], t[LANES];
  for (int j = 0; j < LANES; j++) m[j] = x[0];
  long i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  ISA(tail)(t, x + i, n - i, x[0]);
  for (int j = 0; j < LANES; j++) m[j] = t[j] > m[j] ? t[j] : m[j];
  return ISA(peak)(m);
}

// terms returns the sum of e^(x - top), and writes the terms to y if it is given.
INL float ISA(terms)(float *y, const float *x, long n, float top) {
  float s[LANES] = {0}, t[LANES];
  long i = 0;
  for (; i + LANES <= n; i += LANES)
    IVDEP for (int j = 0; j < LANES; j++) {
      float e = ISA(e)(x[i + j] - top);
      if (y) y[i + j] = e;
      s[j] += e;
    }
  ISA(tail)(t, x + i, n - i, top);
  for (int j = 0; j < LANES; j++) {
    t[j] = ISA(e)(t[j] - top);
    s[j] += j < n - i ? t[j] : 0;
  }
  if (y) __builtin_memcpy(y + i, t, (n - i) * 4);
  return ISA(fold)(s);
}
static float ISA(exp_sum)(const float *x, long n, float top) { return ISA(terms)(0, x, n, top); }
static float ISA(exps)(float *x, long n, float top) { return ISA(terms)(x, x, n, top); }

static void ISA(convert)(void *y, int ybf16, const void *x, int xbf16, long n) {
  if (xbf16)
    IVDEP for (long i = 0; i < n; i++) ((float *)y)[i] = widen(((const uint16_t *)x)[i]);
  else
    IVDEP for (long i = 0; i < n; i++) ((uint16_t *)y)[i] = narrow(((const float *)x)[i]);
}

static void ISA(axpy)(void *y, int ybf16, const void *x, int xbf16, float alpha, long n) {
#define AT(bf16, p) (bf16 ? widen(((const uint16_t *)p)[i]) : ((const float *)p)[i])
  if (!ybf16 && !xbf16)
    IVDEP for (long i = 0; i < n; i++) ((float *)y)[i] += alpha * AT(0, x);
  else if (!ybf16)
    IVDEP for (long i = 0; i < n; i++) ((float *)y)[i] += alpha * AT(1, x);
  else if (!xbf16)
    IVDEP for (long i = 0; i < n; i++) ((uint16_t *)y)[i] = narrow(AT(1, y) + alpha * AT(0, x));
  else
    IVDEP for (long i = 0; i < n; i++) ((uint16_t *)y)[i] = narrow(AT(1, y) + alpha * AT(1, x));
#undef AT
}

static void ISA(swiglu)(float *out, const float *gate, const float *up, long n) {
  IVDEP for (long i = 0; i < n; i++) out[i] = gate[i] * ISA(sigmoid)(gate[i]) * up[i];
}

static void ISA(swiglu_back)(float *dgate, float *dup, const float *dout, const float *gate, const float *up, long n) {
  IVDEP for (long i = 0; i < n; i++) {
    float g = gate[i], s = ISA(sigmoid)(g), y = dout[i], u = up[i];
    dgate[i] = y * u * s * (1 + g * (1 - s));
    dup[i] = y * g * s;
  }
}

static void ISA(dropout)(float *out, const float *x, long from, long to, float p, uint64_t key) {
  uint64_t limit = (uint64_t)((double)p * (1 << 24));
  float keep = 1 / (1 - p);
  IVDEP for (long i = from; i < to; i++) { // splitmix64
    uint64_t z = key + ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z = (z ^ z >> 31) >> 40;
    out[i] = z < limit ? 0 : x[i] * keep;
  }
}

static double ISA(sum_squares)(const float *x, long n) {
  double s[LANES] = {0}, sum = 0;
  long i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) s[j] += (double)x[i + j] * x[i + j];
  for (int j = 0; i < n; i++, j++) s[j] += (double)x[i] * x[i];
  for (int j = 0; j < LANES; j++) sum += s[j];
  return sum;
}

static void ISA(adamw)(float *w, const float *g, float *m, float *v, long n,
                       float grad, float decay, float beta1, float beta2, float step, float root, float eps) {
  IVDEP for (long i = 0; i < n; i++) {
    float d = g[i] * grad, m1 = m[i] + (d - m[i]) * beta1, v1 = v[i] + (d * d - v[i]) * beta2;
    m[i] = m1;
    v[i] = v1;
    w[i] = w[i] * decay - step * m1 / (ISA(root)(v1) * root + eps);
  }
}
