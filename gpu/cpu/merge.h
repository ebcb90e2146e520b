// merge.h: an adapter folded into rows of a weight. Products of floats are exact
// in double, so fusing them with the sum changes nothing: Δ is the same on all CPUs.

// narrow_half rounds to the nearest half, ties to even; beyond 65504 that is infinity.
INL uint16_t ISA(narrow_half)(float f) {
  union { float f; uint32_t u; } x = {f}, half = {0.5f};
  uint32_t sign = x.u >> 16 & 0x8000, u = x.u & 0x7fffffff;
  if (u > 0x7f800000) return sign | 0x7e00;
  if (u >= 0x477ff000) return sign | 0x7c00; // 65520, half way from the largest half to the next
  if (u < 113 << 23) {                       // below 2⁻¹⁴: adding ½ rounds at 2⁻²⁴
    x.u = u, x.f += 0.5f;
    return sign | (x.u - half.u);
  }
  return sign | (((u + 0xfff + (u >> 13 & 1)) >> 13) - (112 << 10));
}

// put writes n numbers to out, which holds the given type, and leaves in x what it holds.
INL void ISA(put)(void *out, int type, float *x, long n) {
  if (type == TYPE_F32) __builtin_memcpy(out, x, 4 * n);
  for (long i = 0; type != TYPE_F32 && i < n; i++) {
    uint16_t h = type == TYPE_BF16 ? narrow(x[i]) : ISA(narrow_half)(x[i]);
    __builtin_memcpy((char *)out + 2 * i, &h, 2);
    x[i] = type == TYPE_BF16 ? widen(h) : ISA(half)((const uint8_t *)&h);
  }
}

static void ISA(merge)(void *out, int type, const float *w, const float *b, const float *a, long rows, long dim, long rank,
                       float scale, int twice, Merged *sum) {
  double product[MERGE_ROWS][MERGE_COLS];
  float delta[MERGE_COLS], x[MERGE_COLS];
  uint32_t room[MERGE_COLS];
  int size = type == TYPE_F32 ? 4 : 2;
  for (long c = 0; c < dim; c += MERGE_COLS) {
    long n = MIN(MERGE_COLS, dim - c);
    __builtin_memset(product, 0, sizeof product);
    for (long r = 0; r < rank; r++)
      for (long i = 0; i < rows; i++) {
        double y = b[i * rank + r];
        IVDEP for (long j = 0; j < n; j++) product[i][j] += y * a[r * dim + c + j];
      }
    for (long i = 0; i < rows; i++) {
      long at = i * dim + c;
      IVDEP for (long j = 0; j < n; j++) x[j] = delta[j] = (float)(scale * product[i][j]);
      if (twice) ISA(put)(room, type, x, n);
      IVDEP for (long j = 0; j < n; j++) x[j] += w[at + j];
      ISA(put)((char *)out + at * size, type, x, n);
      for (long j = 0; j < n; j++) {
        double got = (double)x[j] - w[at + j], want = delta[j];
        sum->dot += got * want;
        sum->delta += want * want;
        sum->lost += (got - want) * (got - want);
        sum->changed += got != 0;
        if (x[j] - x[j] != 0 && (sum->broken < 0 || at + j < sum->broken)) sum->broken = at + j;
      }
    }
  }
}
