// strips.h multiplies a few rows by weights that lie in the order in which it
// reads them: in strips of STRIP vectors of lanes, step after step, so that one
// stream comes from memory and nothing is turned round. They stay as narrow as
// they are in the file and are widened in registers. Sums are those of gemm.h, to
// the bit: one chain of multiply-adds for each element and block of steps.
//
// A group of steps holds, for the lanes of a strip side by side:
//   F32, F16  8 steps
//   BF16  8 steps: pairs of steps in 32 bits
//   Q8_0  32 steps: the scales, then a byte for each step
//   Q4_0, Q4_1  32 steps: the scales, the least values, then four words: those of a block
// which takes as many bytes as in the file.

#if WIDE >= 32
#define VL 16
#define STRIP 4
#define HALVES(p) ((ISA(SV))_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p))))
#define BYTES(p) ((ISA(SI))_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#elif WIDE >= 16
#define VL 8
#define STRIP 2
#define HALVES(p) ((ISA(SV))_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p))))
#define BYTES(p) ((ISA(SI))_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#else
#define VL 4
#define STRIP 2
#define HALVES(p) ((ISA(SV)){ISA(half)(p), ISA(half)((p) + 2), ISA(half)((p) + 4), ISA(half)((p) + 6)})
#define BYTES(p) ((ISA(SI)){(int8_t)(p)[0], (int8_t)(p)[1], (int8_t)(p)[2], (int8_t)(p)[3]})
#endif
#define ACROSS (VL * STRIP)
#define AT_ONCE 4 // rows
#define AHEAD 4096 // bytes that are asked for before they are used
#define UNROLL4 _Pragma("GCC unroll 4")
#define UNROLL8 _Pragma("GCC unroll 8")
#define UNROLL32 _Pragma("GCC unroll 32")

typedef float ISA(SV) __attribute__((vector_size(4 * VL)));
typedef float ISA(SVU) __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef uint32_t ISA(SW) __attribute__((vector_size(4 * VL)));
typedef uint32_t ISA(SWU) __attribute__((vector_size(4 * VL), aligned(2), may_alias));
typedef int32_t ISA(SI) __attribute__((vector_size(4 * VL)));

INL int ISA(group)(int type) { return type == TYPE_F32 || type == TYPE_BF16 || type == TYPE_F16 ? 8 : 32; }

// group_bytes is of a lane.
INL int ISA(group_bytes)(int type) {
  return type == TYPE_Q8_0 ? 34 : type == TYPE_Q4_0 ? 18 : type == TYPE_Q4_1 ? 20 : type == TYPE_F32 ? 32 : 16;
}

// weight returns step s of the group at p for the lanes of vector j.
INL ISA(SV) ISA(weight)(int type, const uint8_t *p, int s, int j, ISA(SV) d, ISA(SV) least) {
  if (type == TYPE_F32) return *(const ISA(SVU) *)(p + 4 * (s * ACROSS + j * VL));
  if (type == TYPE_F16) return HALVES(p + 2 * (s * ACROSS + j * VL));
  if (type == TYPE_Q8_0) return __builtin_convertvector(BYTES(p + s * ACROSS + j * VL), ISA(SV)) * d;
  int word = type == TYPE_BF16 ? s / 2 : s % 16 / 4;
  ISA(SW) w = *(const ISA(SWU) *)(p + 4 * (word * ACROSS + j * VL));
  if (type == TYPE_BF16) return (ISA(SV))(s % 2 ? w & 0xffff0000u : w << 16);
  ISA(SI) q = (ISA(SI))(w >> (s % 4 * 8 + s / 16 * 4) & 15);
  if (type == TYPE_Q4_0) return __builtin_convertvector(q - 8, ISA(SV)) * d;
  return __builtin_convertvector(q, ISA(SV)) * d + least;
}

// Sums are those of h rows by a strip, on their way.
typedef struct {
  ISA(SV) acc[AT_ONCE][STRIP], d[STRIP], least[STRIP];
  float *c;
  long ldc;
  long step, edge; // where the block of steps ends
  int add;
} ISA(Sums);

// steps adds the steps o to o+8 of the group at p. x's rows lie stride apart.
INL void ISA(steps)(int type, int h, const Product *g, ISA(Sums) *a, int o, const float *x, long stride, const uint8_t *p) {
  UNROLL8 for (int t = o; t < o + 8; t++, x++) {
    ISA(SV) w[STRIP];
    UNROLL4 for (int j = 0; j < STRIP; j++) w[j] = ISA(weight)(type, p, t, j, a->d[j], a->least[j]);
    UNROLL4 for (int i = 0; i < h; i++) {
      ISA(SV) v = x[i * stride] - (ISA(SV)){0};
      UNROLL4 for (int j = 0; j < STRIP; j++) a->acc[i][j] = MULADD(a->acc[i][j], v, w[j]);
    }
  }
  if ((a->step += 8) < a->edge) return;
  UNROLL4 for (int i = 0; i < h; i++)
    UNROLL4 for (int j = 0; j < STRIP; j++) {
      ISA(SVU) *c = (ISA(SVU) *)(a->c + i * a->ldc + j * VL);
      ISA(SV) sum = a->acc[i][j] * g->alpha;
      __asm__("" : "+" REGISTER(sum)); // rounded before it is added, as gcc does in tile.h: no multiply-add
      if (a->add) sum += *c;
      *c = sum;
      a->acc[i][j] = (ISA(SV)){0};
    }
  a->add = 1, a->edge = MIN(a->edge + g->block, g->k);
}

// strip_rows computes h rows of the lanes of a strip.
INL void ISA(strip_rows)(int type, int h, const Product *g, const float *x, long stride, const uint8_t *p, float *c, long ldc) {
  ISA(Sums) a = {.c = c, .ldc = ldc, .edge = MIN(g->block, g->k), .add = g->add};
  int n = ISA(group)(type), bytes = ISA(group_bytes)(type) * ACROSS;
  for (const uint8_t *next; a.step < g->k; x += n, p = next) {
    next = p + bytes;
    UNROLL32 for (int b = 0; b < bytes; b += 64) __builtin_prefetch(next + AHEAD + b);
    if (n == 32) {
      UNROLL4 for (int j = 0; j < STRIP; j++) a.d[j] = HALVES(p + 2 * j * VL);
      p += 2 * ACROSS;
    }
    if (type == TYPE_Q4_1) {
      UNROLL4 for (int j = 0; j < STRIP; j++) a.least[j] = HALVES(p + 2 * j * VL);
      p += 2 * ACROSS;
    }
    if (type == TYPE_Q8_0)
      for (int o = 0; o < n; o += 8) ISA(steps)(type, h, g, &a, 0, x + o, stride, p + o * ACROSS);
    else
      UNROLL4 for (int o = 0; o < n; o += 8) ISA(steps)(type, h, g, &a, o, x + o, stride, p);
  }
}

typedef void ISA(strip_t)(const Product *g, const float *x, long stride, const uint8_t *p, float *c, long ldc);
#define ROWS_OF(type, h)                                                                                                \
  static NOINLINE void ISA(strip_##type##_##h)(const Product *g, const float *x, long stride, const uint8_t *p, float *c, long ldc) { \
    ISA(strip_rows)(TYPE_##type, h, g, x, stride, p, c, ldc);                                                                \
  }
#define STRIPS(type) ROWS_OF(type, 1) ROWS_OF(type, 2) ROWS_OF(type, 3) ROWS_OF(type, 4)
STRIPS(F32) STRIPS(BF16) STRIPS(F16) STRIPS(Q8_0) STRIPS(Q4_0) STRIPS(Q4_1)
#define ALL(type) [TYPE_##type] = {ISA(strip_##type##_1), ISA(strip_##type##_2), ISA(strip_##type##_3), ISA(strip_##type##_4)}
static ISA(strip_t) *const ISA(strips)[][AT_ONCE] = {ALL(F32), ALL(BF16), ALL(F16), ALL(Q8_0), ALL(Q4_0), ALL(Q4_1)};

// gemm_strips computes the columns of the strips from to to, for all rows.
static void ISA(gemm_strips)(const Product *g, int type, long from, long to) {
  long size = g->k / ISA(group)(type) * ISA(group_bytes)(type) * ACROSS;
  for (long s = from; s < to; s++) {
    const uint8_t *p = (const uint8_t *)g->b.p + s * size;
    long cols = MIN(ACROSS, g->n - s * ACROSS);
    for (long r = 0; r < g->m; r += AT_ONCE) {
      int h = MIN(AT_ONCE, g->m - r);
      const float *x = (const float *)g->a.p + r * g->a.lane;
      float *c = g->c + r * g->row + s * ACROSS, buf[AT_ONCE * ACROSS];
      if (cols == ACROSS) {
        ISA(strips)[type][h - 1](g, x, g->a.lane, p, c, g->row);
        continue;
      }
      if (g->add)
        for (int i = 0; i < h; i++) __builtin_memcpy(buf + i * ACROSS, c + i * g->row, cols * 4);
      ISA(strips)[type][h - 1](g, x, g->a.lane, p, buf, ACROSS);
      for (int i = 0; i < h; i++) __builtin_memcpy(c + i * g->row, buf + i * ACROSS, cols * 4);
    }
  }
}

// repack lays the strips from to to of n lanes out, which lie row bytes apart. The
// lanes that the last strip has too many are zeros.
static void ISA(repack)(uint8_t *to, const uint8_t *x, int type, long row, long n, long k, long from, long last) {
  int steps = ISA(group)(type), bytes = ISA(group_bytes)(type);
  int heads = steps == 8 ? 0 : type == TYPE_Q4_1 ? 2 : 1, size = type == TYPE_Q8_0 ? 1 : type == TYPE_F16 ? 2 : 4;
  to += from * ACROSS * (k / steps * bytes);
  for (long s = from; s < last; s++)
    for (long b = 0; b < k / steps; b++, to += bytes * ACROSS) {
      int lanes = MIN(ACROSS, n - s * ACROSS);
      if (lanes < ACROSS) __builtin_memset(to, 0, bytes * ACROSS);
      for (int i = 0; i < lanes; i++) {
        const uint8_t *q = x + (s * ACROSS + i) * row + b * bytes;
        uint8_t *d = to + 2 * i;
        for (int h = 0; h < heads; h++, q += 2, d += 2 * ACROSS) __builtin_memcpy(d, q, 2);
        d += (size - 2) * i;
        int rest = bytes - 2 * heads;
        if (size == 1)
          for (int e = 0; e < rest; e++, d += ACROSS) *d = q[e];
        else if (size == 2)
          for (int e = 0; e < rest; e += 2, d += 2 * ACROSS) __builtin_memcpy(d, q + e, 2);
        else
          for (int e = 0; e < rest; e += 4, d += 4 * ACROSS) __builtin_memcpy(d, q + e, 4);
      }
    }
}
#undef VL
#undef STRIP
#undef HALVES
#undef BYTES
#undef ACROSS
#undef AT_ONCE
#undef AHEAD
#undef UNROLL4
#undef UNROLL8
#undef UNROLL32
#undef ROWS_OF
#undef STRIPS
#undef ALL
