// rows.h: operations on whole rows: embedding, norm, rotation and loss.

static void ISA(embed)(float *out, const void *table, int bf16, const int32_t *ids, long from, long to, long dim) {
  for (long i = from; i < to; i++)
    if (bf16) ISA(convert)(out + i * dim, 0, (const uint16_t *)table + ids[i] * dim, 1, dim);
    else __builtin_memcpy(out + i * dim, (const float *)table + ids[i] * dim, dim * 4);
}

static void ISA(embed_back)(float *dtable, const float *dout, const int32_t *ids, long n, long dim, long c0, long c1) {
  for (long i = 0; i < n; i++) {
    float *d = dtable + ids[i] * dim;
    IVDEP for (long j = c0; j < c1; j++) d[j] += dout[i * dim + j];
  }
}

static void ISA(rmsnorm)(float *out, float *inv, float *x, const float *add, const float *w, long rows, long dim, float eps) {
  for (long i = 0; i < rows; i++, x += dim, out += dim) {
    if (add) {
      IVDEP for (long j = 0; j < dim; j++) x[j] += add[i * dim + j];
    }
    float r = inv[i] = 1 / __builtin_sqrtf(ISA(dot)(x, x, dim) / dim + eps);
    IVDEP for (long j = 0; j < dim; j++) out[j] = x[j] * r * w[j];
  }
}

// With g = dout·w: dx += inv·(g - x·inv²·mean(g·x)).
static void ISA(rmsnorm_back)(float *dx, const float *dout, const float *x, const float *w, const float *inv, long rows, long dim) {
  for (long i = 0; i < rows; i++, dx += dim, dout += dim, x += dim) {
    float s[LANES] = {0}, r = inv[i];
    long j = 0;
    for (; j + LANES <= dim; j += LANES)
      for (int l = 0; l < LANES; l++) s[l] += dout[j + l] * w[j + l] * x[j + l];
    for (int l = 0; j < dim; j++, l++) s[l] += dout[j] * w[j] * x[j];
    float back = ISA(fold)(s) / dim * r * r;
    IVDEP for (j = 0; j < dim; j++) dx[j] += r * (dout[j] * w[j] - x[j] * back);
  }
}

// A strip of columns, summed over the rows in their order.
static void ISA(rmsnorm_back_w)(float *dw, const float *dout, const float *x, const float *inv, long rows, long dim, long c0, long c1) {
  for (long i = 0; i < rows; i++)
    IVDEP for (long j = c0; j < c1; j++) dw[j] += dout[i * dim + j] * x[i * dim + j] * inv[i];
}

// rotate turns the halves of each head by the angles of its row, the other way
// if sign is -1. out may be x.
static void ISA(rotate)(float *out, const float *x, const float *cos, const float *sin, const int32_t *pos, long rows, long heads, long dim, float sign) {
  long half = dim / 2;
  for (long i = 0; i < rows; i++) {
    const float *c = cos + pos[i] * half, *s = sin + pos[i] * half;
    for (long h = 0; h < heads; h++, x += dim, out += dim)
      IVDEP for (long j = 0; j < half; j++) {
        float a = x[j], b = x[j + half], t = s[j] * sign;
        out[j] = a * c[j] - b * t;
        out[j + half] = b * c[j] + a * t;
      }
  }
}

// bias and w may be none; a copy is what is left then.
static void ISA(head_norm)(float *out, float *inv, const float *x, const float *bias, const float *w, long rows, long heads, long dim, float eps) {
  for (long i = 0; i < rows; i++)
    for (long h = 0; h < heads; h++, x += dim, out += dim) {
      if (bias) {
        IVDEP for (long j = 0; j < dim; j++) out[j] = x[j] + bias[h * dim + j];
      } else if (out != x) __builtin_memcpy(out, x, dim * 4);
      if (!w) continue;
      float r = inv[i * heads + h] = 1 / __builtin_sqrtf(ISA(dot)(out, out, dim) / dim + eps);
      IVDEP for (long j = 0; j < dim; j++) out[j] = out[j] * r * w[j];
    }
}

// In place: d is the gradient of the norm's output, then of its input.
static void ISA(head_norm_back)(float *d, const float *x, const float *bias, const float *w, const float *inv, long rows, long heads, long dim) {
  for (long i = 0; i < rows; i++)
    for (long h = 0; h < heads; h++, x += dim, d += dim) {
      const float *b = bias ? bias + h * dim : 0;
      float s[LANES] = {0}, r = *inv++;
      for (long j = 0; j < dim; j += LANES)
        for (int l = 0; l < LANES && j + l < dim; l++) s[l] += d[j + l] * w[j + l] * (x[j + l] + (b ? b[j + l] : 0));
      float back = ISA(fold)(s) / dim * r * r;
      IVDEP for (long j = 0; j < dim; j++) d[j] = r * (d[j] * w[j] - (x[j] + (b ? b[j] : 0)) * back);
    }
}

// A strip of a head's columns, summed over rows and heads in their order.
static void ISA(head_norm_back_w)(float *dw, const float *d, const float *x, const float *bias, const float *inv, long rows, long heads, long dim, long c0, long c1) {
  for (long i = 0; i < rows; i++)
    for (long h = 0; h < heads; h++, x += dim, d += dim) {
      const float *b = bias ? bias + h * dim : 0;
      float r = *inv++;
      IVDEP for (long j = c0; j < c1; j++) dw[j] += d[j] * (x[j] + (b ? b[j] : 0)) * r;
    }
}

// A strip of columns, summed over the rows in their order.
static void ISA(sum_rows)(float *y, const float *x, long rows, long dim, long c0, long c1) {
  for (long i = 0; i < rows; i++)
    IVDEP for (long j = c0; j < c1; j++) y[j] += x[i * dim + j];
}

static void ISA(cross_entropy)(float *loss, float *logits, const int32_t *targets, long rows, long vocab, float scale) {
  for (long i = 0; i < rows; i++, logits += vocab) {
    if (targets[i] < 0) {
      loss[i] = 0;
      if (scale != 0) __builtin_memset(logits, 0, vocab * 4);
      continue;
    }
    float top = ISA(largest)(logits, vocab), target = logits[targets[i]];
    float sum = scale != 0 ? ISA(exps)(logits, vocab, top) : ISA(exp_sum)(logits, vocab, top);
    loss[i] = (float)(__builtin_log(sum) + top - target);
    if (scale == 0) continue;
    float f = scale / sum;
    for (long j = 0; j < vocab; j++) logits[j] *= f;
    logits[targets[i]] -= scale;
  }
}

static void ISA(argmax)(int32_t *ids, float *logp, const float *logits, long rows, long vocab) {
  for (long i = 0; i < rows; i++, logits += vocab) {
    float top = ISA(largest)(logits, vocab);
    long j = 0;
    while (j < vocab - 1 && logits[j] != top) j++;
    ids[i] = (int32_t)j;
    logp[i] = (float)-__builtin_log(ISA(exp_sum)(logits, vocab, top));
  }
}
