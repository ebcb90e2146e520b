// attention.h: softmax attention of one head over one sequence, in blocks of
// query rows whose scores against all their keys fit the second-level cache.
// The products are those of gemm.h; keys beyond a row's own get weight 0.

INL long ISA(block_rows)(long len) { return len < 256 ? 24 : 48; }

// padded is the stride of a row of scores: whole vectors for every instruction set.
INL long ISA(padded)(long len) { return (len + LANES - 1) / LANES * LANES; }

// attention_size: per key three panels and two blocks of scores, and two
// panels of a block of rows.
static long ISA(attention_size)(long len, long dim) {
  long keys = ISA(padded)(len) + WIDE, width = dim + WIDE, rows = ISA(block_rows)(len) + ME;
  return 3 * keys * width + 2 * rows * keys + 2 * rows * width + ME * 512 + 64 * 8;
}

// take cuts n floats off the work space, on a cache line.
INL float *ISA(take)(float **work, long n) {
  float *p = *work;
  *work += (n + 15) / 16 * 16;
  return p;
}

// product sets up c = alpha·a·b and packs b.
INL Product ISA(product)(Operand a, Operand b, float *c, long row, long m, long n, long k, float *panels) {
  Product g = {a, b, c, row, 1, m, n, k, ATTENTION_BLOCK, 0, k, 1, 0, panels};
  return g;
}
static void ISA(pack_all)(const Product *g) {
  ISA(gemm_pack)(g, 0, (g->k + g->block - 1) / g->block * ((g->n + WIDE - 1) / WIDE));
}

// Span is the keys from lo up to hi that the rows i0 to i1 see; lo is on a
// panel's edge and a multiple of LANES.
typedef struct { long i0, i1, lo, hi; } ISA(Span);

INL ISA(Span) ISA(span)(const Seq *s, long i0) {
  long i1 = MIN(i0 + ISA(block_rows)(s->len), s->len), lo = s->window ? i0 - s->window + 1 : 0;
  return (ISA(Span)){i0, i1, lo < 0 ? 0 : lo / (3 * LANES) * (3 * LANES), i1};
}

// first returns the first key that row i sees.
INL long ISA(first)(const Seq *s, long i) {
  long j = s->window ? i - s->window + 1 : 0;
  return j < 0 ? 0 : j;
}

// softmax turns the scores j0 to j1 of a row into weights and all others from
// lo up to the next panel after j1 into 0; it returns the log of the sum of
// exponentials. A key's lane depends on its number alone.
static float ISA(softmax)(float *x, long lo, long hi, long j0, long j1, float scale) {
  float s[LANES] = {0}, m[LANES];
  for (int l = 0; l < LANES; l++) m[l] = x[j0];
  for (long j = lo; j < hi; j += LANES) {
    int a = j0 - j, b = j1 - j;
    for (int l = 0; l < LANES; l++) {
      float v = (l >= a) & (l < b) ? x[j + l] : m[l];
      m[l] = v > m[l] ? v : m[l];
    }
  }
  float top = ISA(peak)(m) * scale;
  for (long j = lo; j < hi; j += LANES) {
    int a = j0 - j, b = j1 - j;
    IVDEP for (int l = 0; l < LANES; l++) {
      float e = ISA(e)(x[j + l] * scale - top);
      x[j + l] = e = (l >= a) & (l < b) ? e : 0;
      s[l] += e;
    }
  }
  float sum = ISA(fold)(s), f = 1 / sum;
  for (long j = lo; j < hi; j++) x[j] *= f;
  return (float)(top + __builtin_log(sum));
}

static void ISA(attention)(float *out, float *lse, const float *q, const float *k, const float *v, const Seq *s, long head, float *work) {
  long len = s->len, dim = s->dim, qrow = s->heads * dim, krow = s->kv * dim, group = head / (s->heads / s->kv);
  q += s->first * qrow + head * dim;
  out += s->first * qrow + head * dim;
  lse += s->first * s->heads + head;
  k += s->first * krow + group * dim;
  v += s->first * krow + group * dim;
  long ld = ISA(padded)(len);
  float *scratch = ISA(take)(&work, ME * 512), *score = ISA(take)(&work, ISA(block_rows)(len) * ld);
  float *kp = ISA(take)(&work, (len + WIDE) * dim), *vp = ISA(take)(&work, len * (dim + WIDE));
  Product scores = ISA(product)((Operand){q, qrow, 1}, (Operand){k, krow, 1}, score, ld, len, len, dim, kp);
  Product mix = ISA(product)((Operand){score, ld, 1}, (Operand){v, 1, krow}, out, qrow, len, dim, len, vp);
  ISA(pack_all)(&scores);
  ISA(pack_all)(&mix);
  for (long i0 = 0; i0 < len; i0 += ISA(block_rows)(len)) {
    ISA(Span) b = ISA(span)(s, i0);
    scores.c = score - b.i0 * ld;
    ISA(gemm)(&scores, b.i0, b.i1, b.lo, b.hi, scratch);
    for (long i = b.i0; i < b.i1; i++)
      lse[i * s->heads] = ISA(softmax)(score + (i - b.i0) * ld, b.lo, ISA(padded)(b.hi), ISA(first)(s, i), i + 1, s->scale);
    mix.a.p = score - b.i0 * ld;
    mix.from = b.lo, mix.to = b.hi;
    ISA(gemm)(&mix, b.i0, b.i1, 0, dim, scratch);
  }
}

// attention_back computes one query head. dk and dv are its own share of the
// gradients, summed over its rows in order: they have heads, not kv. With p the
// weights and dp = dout·v, the gradient of a score is p·(dp - dout·out)·scale.
static void ISA(attention_back)(float *dq, float *dk, float *dv, const float *dout, const float *out, const float *lse,
                                const float *q, const float *k, const float *v, const Seq *s, long head, float *work) {
  long len = s->len, dim = s->dim, qrow = s->heads * dim, krow = s->kv * dim, group = head / (s->heads / s->kv);
  long rows = ISA(block_rows)(len), ld = ISA(padded)(len), at = s->first * qrow + head * dim, kat = s->first * krow + group * dim;
  q += at, out += at, dout += at, dq += at, dk += at, dv += at, k += kat, v += kat;
  float *scratch = ISA(take)(&work, ME * 512), *p = ISA(take)(&work, rows * ld), *ds = ISA(take)(&work, rows * ld);
  float *kt = ISA(take)(&work, (len + WIDE) * dim), *vt = ISA(take)(&work, (len + WIDE) * dim);
  float *kp = ISA(take)(&work, len * (dim + WIDE)), *qp = ISA(take)(&work, rows * (dim + WIDE)), *op = ISA(take)(&work, rows * (dim + WIDE));
  Product scores = ISA(product)((Operand){q, qrow, 1}, (Operand){k, krow, 1}, 0, ld, len, len, dim, kt);
  Product dscore = ISA(product)((Operand){dout, qrow, 1}, (Operand){v, krow, 1}, 0, ld, len, len, dim, vt);
  Product toq = ISA(product)((Operand){0, ld, 1}, (Operand){k, 1, krow}, dq, qrow, len, dim, len, kp);
  ISA(pack_all)(&scores);
  ISA(pack_all)(&dscore);
  ISA(pack_all)(&toq);
  for (long j = 0; j < len; j++)
    for (long e = 0; e < dim; e++) dk[j * qrow + e] = dv[j * qrow + e] = 0;
  for (long i0 = 0; i0 < len; i0 += rows) {
    ISA(Span) b = ISA(span)(s, i0);
    long n = b.i1 - b.i0;
    scores.c = p - b.i0 * ld, dscore.c = ds - b.i0 * ld;
    ISA(gemm)(&scores, b.i0, b.i1, b.lo, b.hi, scratch);
    ISA(gemm)(&dscore, b.i0, b.i1, b.lo, b.hi, scratch);
    for (long i = b.i0; i < b.i1; i++) {
      float *x = p + (i - b.i0) * ld + b.lo, *y = ds + (i - b.i0) * ld + b.lo;
      float l = lse[(s->first + i) * s->heads + head], delta = ISA(dot)(dout + i * qrow, out + i * qrow, dim);
      int first = ISA(first)(s, i) - b.lo, last = i - b.lo, n = ISA(padded)(b.hi) - b.lo;
      IVDEP for (int j = 0; j < n; j++) {
        float w = ISA(e)(x[j] * s->scale - l), d = w * (y[j] - delta) * s->scale;
        x[j] = (j >= first) & (j <= last) ? w : 0;
        y[j] = (j >= first) & (j <= last) ? d : 0;
      }
    }
    toq.a.p = ds - b.i0 * ld, toq.from = b.lo, toq.to = b.hi;
    ISA(gemm)(&toq, b.i0, b.i1, 0, dim, scratch);
    Product tok = ISA(product)((Operand){ds, 1, ld}, (Operand){q + b.i0 * qrow, 1, qrow}, dk, qrow, len, dim, n, qp);
    Product tov = ISA(product)((Operand){p, 1, ld}, (Operand){dout + b.i0 * qrow, 1, qrow}, dv, qrow, len, dim, n, op);
    tok.add = tov.add = 1;
    ISA(pack_all)(&tok);
    ISA(pack_all)(&tov);
    ISA(gemm)(&tok, b.lo, b.hi, 0, dim, scratch);
    ISA(gemm)(&tov, b.lo, b.hi, 0, dim, scratch);
  }
}

// sum_groups adds up the shares of the query heads of each key/value head, in their order.
static void ISA(sum_groups)(float *out, const float *shares, long heads, long group, long dim) {
  for (; heads; heads -= group, out += dim, shares += group * dim) {
    __builtin_memcpy(out, shares, dim * 4);
    for (long h = 1; h < group; h++)
      IVDEP for (long e = 0; e < dim; e++) out[e] += shares[h * dim + e];
  }
}

// attention_cached computes the query heads of one key/value head for one row,
// over the positions from to to of its slot.
static void ISA(attention_cached)(float *out, const float *q, const float *keys, const float *values,
                                  long from, long to, long heads, long kv, long dim, long group, float scale, float *work) {
  long per = heads / kv, row = kv * dim, n = to - from;
  keys += from * row + group * dim;
  values += from * row + group * dim;
  q += group * per * dim;
  out += group * per * dim;
  for (long j = 0; j < n; j++)
    for (long h = 0; h < per; h++) work[h * n + j] = ISA(dot)(q + h * dim, keys + j * row, dim);
  for (long h = 0; h < per; h++) {
    float *x = work + h * n, *o = out + h * dim;
    for (long j = 0; j < n; j++) x[j] *= scale;
    float f = 1 / ISA(exps)(x, n, ISA(largest)(x, n));
    for (long e = 0; e < dim; e++) o[e] = 0;
    for (long j = 0; j < n; j++)
      IVDEP for (long e = 0; e < dim; e++) o[e] += x[j] * values[j * row + e];
    for (long e = 0; e < dim; e++) o[e] *= f;
  }
}
