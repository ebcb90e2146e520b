// few.h multiplies few rows by quantised weights, which would take longer to
// write out as floats than to multiply: it decodes one panel of b at a time into
// the second-level cache and puts all rows through it. Sums are those of
// gemm.h, to the bit. Blocks have 32 elements here: Q8_0, Q4_0, Q4_1.

#if WIDE >= 32
#define PART 16 // lanes that are decoded at a time
#define ROWS_AT(at) FOUR(at, 0), FOUR(at, 1), FOUR(at, 2), FOUR(at, 3)
#define TRANSPOSE_PART ISA(transpose16)
#elif WIDE >= 16
#define PART 8
#define ROWS_AT(at) TWO(at, 0), TWO(at, 1), TWO(at, 2), TWO(at, 3)
#define TRANSPOSE_PART ISA(transpose8)
#else
#define PART 4
#define ROWS_AT(at) LANE(at, 0), LANE(at, 1), LANE(at, 2), LANE(at, 3)
#define TRANSPOSE_PART ISA(transpose4)
#endif
#define UNROLL32 _Pragma("GCC unroll 32")
#define LANE(at, i) (*(const f4u *)(x + (i) * row + (at)))
#define TWO(at, i) __builtin_shufflevector(LANE(at, i), LANE(at, (i) + 4), 0, 1, 2, 3, 4, 5, 6, 7)
#define FOUR(at, i) __builtin_shufflevector(TWO(at, i), TWO(at, (i) + 8), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

typedef float ISA(FP) __attribute__((vector_size(4 * PART)));
typedef float ISA(FPU) __attribute__((vector_size(4 * PART), aligned(4), may_alias));
typedef int32_t ISA(IP) __attribute__((vector_size(4 * PART)));

// scales decodes the half at byte at of a block of each lane.
INL ISA(FP) ISA(scales)(const uint8_t *x, long row, int at) {
  uint8_t h[2 * PART];
  float d[PART] __attribute__((aligned(4 * PART)));
  for (int i = 0; i < PART; i++) __builtin_memcpy(h + 2 * i, x + i * row + at, 2);
  IVDEP for (int i = 0; i < PART; i++) d[i] = ISA(half)(h + 2 * i);
  return *(ISA(FPU) *)d;
}

// block decodes a block of 32 steps of PART lanes, row bytes apart, to a panel
// of w lanes. Four bytes of each lane are turned round as if they were a float.
INL void ISA(block)(int type, const uint8_t *x, long row, float *restrict to, int w) {
  ISA(IP) q[8];
  ISA(FP) d = ISA(scales)(x, row, 0), least = d;
  if (type == TYPE_Q4_1) least = ISA(scales)(x, row, 2);
  int from = type == TYPE_Q4_1 ? 4 : 2;
  TRANSPOSE_PART((float *)q, PART, ROWS_AT(from));
  if (type == TYPE_Q8_0) TRANSPOSE_PART((float *)(q + 4), PART, ROWS_AT(from + 16));
  UNROLL32 for (int s = 0; s < 32; s++) {
    ISA(IP) word = type == TYPE_Q8_0 ? q[s / 4] << (24 - s % 4 * 8) >> 24 : q[s % 16 / 4] >> (s % 4 * 8 + s / 16 * 4) & 15;
    ISA(FP) v = __builtin_convertvector(type == TYPE_Q4_0 ? word - 8 : word, ISA(FP)) * d;
    *(ISA(FPU) *)(to + s * w) = type == TYPE_Q4_1 ? v + least : v;
  }
}

#define DECODE(type, bytes)                                                                   \
  static NOINLINE void ISA(unpack_##type)(const uint8_t *x, long row, long k, float *to) {    \
    for (long s = 0; s < k; s += 32, x += bytes, to += 32 * WIDE)                             \
      for (int i = 0; i < WIDE; i += PART) ISA(block)(TYPE_##type, x + i * row, row, to + i, WIDE); \
  }
DECODE(Q8_0, 34)
DECODE(Q4_0, 18)
DECODE(Q4_1, 20)

// gemm_few computes the columns of the panels from to to, for all rows. b's
// lanes are rows of row bytes. scratch has room for a panel and four rows.
static void ISA(gemm_few)(const Product *g, int type, long row, long from, long to, float *scratch) {
  for (long j = from * WIDE; j < to * WIDE; j += WIDE) {
    const uint8_t *x = (const uint8_t *)g->b.p + j * row;
    if (type == TYPE_Q8_0) ISA(unpack_Q8_0)(x, row, g->k, scratch);
    else if (type == TYPE_Q4_0) ISA(unpack_Q4_0)(x, row, g->k, scratch);
    else ISA(unpack_Q4_1)(x, row, g->k, scratch);
    Product panel = *g;
    panel.n = WIDE, panel.c += j, panel.panels = scratch;
    ISA(direct)(&panel, 0, g->m, 0, WIDE, scratch + WIDE * g->k);
  }
}
#undef PART
#undef ROWS_AT
#undef TRANSPOSE_PART
#undef LANE
#undef UNROLL32
#undef TWO
#undef FOUR
#undef DECODE
