// ops.h: loops over elements, which the compiler vectorises for each
// instruction set. Sums keep LANES partial sums whose order does not depend on
// the width of a vector.
#define LANES 32

// exp2ln is e^x within 1e-7 of itself: x = n·ln 2 + r, and a polynomial of
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

INL float ISA(sigmoid)(float x) { return 1 / (1 + ISA(e)(-x)); }

INL float ISA(fold)(float *s) { // the sum of LANES partial sums
  for (int w = LANES / 2; w; w /= 2)
    for (int j = 0; j < w; j++) s[j] += s[j + w];
  return s[0];
}

static float ISA(dot)(const float *x, const float *y, long n) {
  float s[LANES] = {0};
  long i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) s[j] += x[i + j] * y[i + j];
  for (int j = 0; i < n; i++, j++) s[j] += x[i] * y[i];
  return ISA(fold)(s);
}

static float ISA(largest)(const float *x, long n) {
  float m[LANES];
  for (int j = 0; j < LANES; j++) m[j] = x[0];
  long i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
  for (; i < n; i++) m[0] = x[i] > m[0] ? x[i] : m[0];
  for (int j = 1; j < LANES; j++) m[0] = m[j] > m[0] ? m[j] : m[0];
  return m[0];
}

// exp_sum returns Σ e^(scale·x - top), and writes the terms to y if it is given.
INL float ISA(terms)(float *y, const float *x, long n, float scale, float top) {
  float s[LANES] = {0};
  long i = 0;
  for (; i + LANES <= n; i += LANES) {
    IVDEP for (int j = 0; j < LANES; j++) {
      float e = ISA(e)(x[i + j] * scale - top);
      if (y) y[i + j] = e;
      s[j] += e;
    }
  }
  for (int j = 0; i < n; i++, j++) {
    float e = ISA(e)(x[i] * scale - top);
    if (y) y[i] = e;
    s[j] += e;
  }
  return ISA(fold)(s);
}
static float ISA(exp_sum)(float *y, const float *x, long n, float scale, float top) {
  return y ? ISA(terms)(y, x, n, scale, top) : ISA(terms)(0, x, n, scale, top);
}

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
    w[i] = w[i] * decay - step * m1 / (__builtin_sqrtf(v1) * root + eps);
  }
}
