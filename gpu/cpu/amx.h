// amx.h: AMX multiplies tiles of 16 rows of 32 bfloat16 by tiles of 32 steps of
// 16 columns, sixteen times as fast as AVX-512 does floats. Four tiles of c are
// summed at a time, from two of a and two of b. b's panels are those of
// pairs.h, filled up with zeros to whole tiles of steps.
//
// A float of a is rounded to bfloat16, or cut into three of them whose sum it is: three
// times 8 bits are its 24. What two bfloat16 give multiplied is exact in float, so floats by
// bfloat16 weights are then summed as exactly as floats are, at a third of the speed.
// Of an infinity the other parts are NaN. Below 2⁻¹⁰³ bits are lost, as AMX takes
// subnormal numbers for zeros.
//
// An element of c is the sum of its steps in order, block by block, whatever
// the number of rows and columns; its bits are AMX's own.
#define ISA(x) x##_amx
#define PAIRS 1
#define WIDE 32
#define MID 16
#define SLIM 16
#define MR 16
#define ME 16
#define STEPS(n) (((n) + 31) / 32 * 16)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi2,amx-tile,amx-bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi2,amx-tile,amx-bf16,prefer-vector-width=512")
#endif
#include "pack.h"
#include "panels.h"

// Rows is where 16 rows of a lie: their first 32 steps at p, each row stride
// bytes behind the one before it, the next 32 steps so many bytes on. If they are cut,
// the tile of each part lies behind that of the part before.
typedef struct {
  const char *p;
  long stride, next;
} ISA(Rows);
enum { TILE = 1024 }; // bytes

// part takes the first of parts off f: eight bits of it, or all, rounded, if there is but one.
INL float ISA(part)(int parts, float *f) {
  union { float f; uint32_t u; } v = {*f};
  if (parts == 1) v.u += 0x7fff + (v.u >> 16 & 1);
  v.u &= 0xffff0000u;
  *f -= v.f;
  return v.f;
}

// cut writes the parts of 32 floats to d, each in a tile behind that of the part before.
INL void ISA(cut)(int parts, const float *x, uint16_t *d) {
  IVDEP for (int q = 0; q < 32; q++) {
    float rest = x[q];
    for (int p = 0; p < parts; p++) {
      union { float f; uint32_t u; } v = {ISA(part)(parts, &rest)};
      d[p * TILE / 2 + q] = v.u >> 16;
    }
  }
}

// stand writes 32 steps of 16 lanes that lie together to a tile.
INL void ISA(stand)(const uint16_t *p, long step, char *d) {
  UNROLL for (int q = 0; q < 4; q++, p += 8 * step) {
    float quads[64] __attribute__((aligned(64))); // four pairs of steps of lanes 0, 4, 8, 12, then of 1, 5, 9, 13 …
    f16 pair[4];
    UNROLL for (int i = 0; i < 4; i++) pair[i] = ISA(zip16)(p + 2 * i * step, step);
    ISA(transpose16)(quads, 16, pair[0], pair[1], pair[2], pair[3]);
    UNROLL for (int i = 0; i < 16; i++) *(f4u *)(d + 64 * (i % 4 * 4 + i / 4) + 16 * q) = *(f4 *)(quads + 4 * i);
  }
}

// rows packs lanes r to r+n of a, n <= 16, from step s on, into tiles at d.
INL void ISA(rows)(int parts, const Operand *a, long r, int n, long s, long len, char *d) {
  long next = parts * TILE, whole = 0, at = r * a->lane + s * a->step; // tiles that are packed by whole rows or columns
  const uint16_t *half = (const uint16_t *)a->p + at;
  const float *full = (const float *)a->p + at;
  if (n < 16) __builtin_memset(d, 0, (len + 31) / 32 * next);
  if (a->step == 1) {
    whole = len / 32;
    for (int i = 0; i < n; i++)
      for (long t = 0; t < whole; t++)
        if (a->bf16) __builtin_memcpy(d + t * next + 64 * i, half + i * a->lane + 32 * t, 64);
        else ISA(cut)(parts, full + i * a->lane + 32 * t, (uint16_t *)(d + t * next + 64 * i));
  } else if (a->bf16 && n == 16) {
    whole = len / 32;
    for (long t = 0; t < whole; t++) ISA(stand)(half + 32 * t * a->step, a->step, d + t * next);
  }
  for (long t = whole; 32 * t < len; t++)
    for (int i = 0; i < n; i++) {
      long from = i * a->lane + 32 * t * a->step, m = MIN(32, len - 32 * t);
      uint16_t *to = (uint16_t *)(d + t * next + 64 * i), h[32] = {0};
      float x[32] = {0};
      if (a->bf16)
        for (long q = 0; q < m; q++) h[q] = half[from + q * a->step];
      else
        for (long q = 0; q < m; q++) x[q] = full[from + q * a->step];
      if (a->bf16) __builtin_memcpy(to, h, 64);
      else ISA(cut)(parts, x, to);
    }
}

// lay is rows with the parts as a constant.
static NOINLINE void ISA(lay)(const Product *g, long r, int n, long s, long len, char *d) {
  if (g->parts == 1) ISA(rows)(1, &g->a, r, n, s, len, d);
  else ISA(rows)(3, &g->a, r, n, s, len, d);
}

// tiles writes the product of 16 or, if tall, 32 rows and 16 or, if broad, 32
// columns to c, whose rows lie row floats apart. What is cut comes from further away than
// the processor looks ahead by itself.
INL void ISA(tiles)(int parts, int tall, int broad, long n, ISA(Rows) a0, ISA(Rows) a1, const float *b, float *c, long row) {
  long w = broad ? 32 : 16;
  _tile_zero(0);
  if (broad) _tile_zero(1);
  if (tall) _tile_zero(2);
  if (tall && broad) _tile_zero(3);
  for (; n--; a0.p += a0.next, a1.p += a1.next, b += 16 * w) {
    _tile_loadd(6, b, w * 4);
    if (broad) _tile_loadd(7, b + 16, w * 4);
    UNROLL for (int p = 0; p < parts; p++) {
      const char *x = a0.p + p * TILE, *y = a1.p + p * TILE;
      _tile_loadd(4, x, a0.stride);
      if (parts > 1)
        UNROLL for (int i = 0; i < 16; i++) __builtin_prefetch(x + 2 * TILE + 64 * i);
      _tile_dpbf16ps(0, 4, 6);
      if (broad) _tile_dpbf16ps(1, 4, 7);
      if (!tall) continue;
      _tile_loadd(5, y, a1.stride);
      if (parts > 1)
        UNROLL for (int i = 0; i < 16; i++) __builtin_prefetch(y + 2 * TILE + 64 * i);
      _tile_dpbf16ps(2, 5, 6);
      if (broad) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, 4 * row);
  if (broad) _tile_stored(1, c + 16, 4 * row);
  if (tall) _tile_stored(2, c + 16 * row, 4 * row);
  if (tall && broad) _tile_stored(3, c + 16 * row + 16, 4 * row);
}
static NOINLINE void ISA(product)(int parts, int tall, int broad, long n, ISA(Rows) a0, ISA(Rows) a1, const float *b, float *c, long row) {
  switch ((parts > 1) * 4 + tall * 2 + broad) {
  case 0: return ISA(tiles)(1, 0, 0, n, a0, a1, b, c, row);
  case 1: return ISA(tiles)(1, 0, 1, n, a0, a1, b, c, row);
  case 2: return ISA(tiles)(1, 1, 0, n, a0, a1, b, c, row);
  case 3: return ISA(tiles)(1, 1, 1, n, a0, a1, b, c, row);
  case 4: return ISA(tiles)(3, 0, 0, n, a0, a1, b, c, row);
  case 5: return ISA(tiles)(3, 0, 1, n, a0, a1, b, c, row);
  case 6: return ISA(tiles)(3, 1, 0, n, a0, a1, b, c, row);
  default: return ISA(tiles)(3, 1, 1, n, a0, a1, b, c, row);
  }
}

// put: c = alpha·buf (+ c) for rows × cols. buf's rows are width floats.
INL void ISA(put)(const float *buf, int width, float *c, long row, long col, int rows, int cols, float alpha, int add) {
  for (int i = 0; i < rows; i++)
    IVDEP for (int j = 0; j < cols; j++) {
      float *to = c + i * row + j * col;
      *to = (add ? *to : 0) + buf[width * i + j] * alpha;
    }
}

static void ISA(configure)(void) { // eight tiles of 16 rows of 64 bytes
  struct { uint8_t palette, start, zero[14]; uint16_t bytes[16]; uint8_t rows[16]; } shape = {1};
  for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
  _tile_loadconfig(&shape);
}

// gemm_reads: nobody asks, as b is packed beforehand.
static int ISA(gemm_reads)(const Product *g) { return 0; }

// gemm computes the rows m0 to m1 of the columns n0 to n1; n0 is a multiple of
// WIDE, m1-m0 <= GEMM_ROWS/parts. Rows of bfloat16 that are fetched once are read where they lie.
static void ISA(gemm)(const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  ISA(configure)();
  float buf[32 * 32] __attribute__((aligned(64)));
  ISA(Rows) a[GEMM_ROWS / 16 + 1];
  long panels = (n1 - n0 + WIDE - 1) / WIDE, pairs = (m1 - m0 + 31) / 32;
  int across = panels <= 2; // rows stay in the first-level cache for all panels, else a panel for all rows
  for (long p = 0; p < g->k; p += g->block) {
    long len = MIN(g->block, g->k - p), tiles = (len + 31) / 32;
    char *d = (char *)scratch;
    for (long r = m0; r < m1; r += 16, d += tiles * g->parts * TILE) {
      ISA(Rows) *x = &a[(r - m0) / 16];
      *x = (ISA(Rows)){d, 64, g->parts * TILE};
      if (g->a.bf16 && g->a.step == 1 && len % 32 == 0 && m1 - r >= 16 && across)
        *x = (ISA(Rows)){(const char *)g->a.p + 2 * (r * g->a.lane + p), 2 * g->a.lane, 64};
      else
        ISA(lay)(g, r, MIN(16, m1 - r), p, len, d);
    }
    for (long i = 0; i < panels * pairs; i++) {
      long j = n0 + WIDE * (across ? i % panels : i / pairs), r = m0 + 32 * (across ? i / panels : i % pairs);
      int rows = MIN(32, m1 - r), cols = MIN(WIDE, g->n - j), add = g->add || p > 0;
      float *c = g->c + r * g->row + j * g->col;
      int home = rows == 32 && cols == WIDE && g->col == 1 && g->alpha == 1 && !add;
      ISA(Rows) *x = &a[(r - m0) / 16];
      ISA(product)(g->parts, rows > 16, ISA(width)(g->n - j) == WIDE, tiles, x[0], x[rows > 16], ISA(at)(g, p, len, j),
                   home ? c : buf, home ? g->row : 32);
      if (home) continue;
      if (g->col != 1) {
        float flipped[32 * 32] __attribute__((aligned(64)));
        for (int y = 0; y < rows; y += 4)
          for (int q = 0; q < cols; q += 4) {
            const f4 *t = (const f4 *)(buf + 32 * y + q);
            ISA(transpose4)(flipped + 32 * q + y, 32, t[0], t[8], t[16], t[24]);
          }
        ISA(put)(flipped, 32, c, g->col, 1, cols, rows, g->alpha, add);
      } else if (cols != WIDE) ISA(put)(buf, 32, c, g->row, 1, rows, cols, g->alpha, add);
      else ISA(put)(buf, 32, c, g->row, 1, rows, WIDE, g->alpha, add);
    }
  }
  _tile_release();
}

// Strips of BF16, as strips.h lays them out, are tiles of b as they lie: 16 pairs of
// steps of 64 lanes. All rows of a are packed beforehand, 16 by 16; up to SINGLE rows
// as the floats that their parts are, part by part for each 32 steps.
enum { LANES = 64, SINGLE = 2 };

// spread writes row r of a as floats to x.
INL void ISA(spread)(int parts, const Product *g, long r, float *x) {
  const float *from = (const float *)g->a.p + r * g->a.lane;
  for (long s = 0; s < g->k; s += 32, x += 32 * parts)
    IVDEP for (int q = 0; q < 32; q++) {
      float rest = from[s + q];
      for (int p = 0; p < parts; p++) x[32 * p + q] = ISA(part)(parts, &rest);
    }
}

// gemm_rows packs the rows from 16·from to 16·to. k is a multiple of 32.
static void ISA(gemm_rows)(const Product *g, long from, long to) {
  for (; from < to; from++)
    if (g->m > SINGLE) ISA(lay)(g, 16 * from, MIN(16, g->m - 16 * from), 0, g->k, (char *)g->panels + from * (g->k / 32) * g->parts * TILE);
    else
      for (long r = 0; r < g->m; r++)
        if (g->parts == 1) ISA(spread)(1, g, r, g->panels + r * g->k);
        else ISA(spread)(3, g, r, g->panels + 3 * r * g->k);
}

// strip writes the product of 16 rows by n tiles of steps to buf, whose rows are LANES floats.
INL void ISA(strip)(int parts, long n, const char *a, const char *b, float *buf) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (; n--; a += parts * TILE, b += 4 * TILE) {
    UNROLL for (int i = 0; i < 64; i++) __builtin_prefetch(b + 4 * TILE + 64 * i);
    _tile_loadd(4, a, 64);
    if (parts > 1) {
      _tile_loadd(5, a + TILE, 64);
      _tile_loadd(6, a + 2 * TILE, 64);
    }
#define QUARTER(j)                        \
  _tile_loadd(7, b + 64 * j, 4 * LANES);  \
  _tile_dpbf16ps(j, 4, 7);                \
  if (parts > 1) {                        \
    _tile_dpbf16ps(j, 5, 7);              \
    _tile_dpbf16ps(j, 6, 7);              \
  }
    QUARTER(0) QUARTER(1) QUARTER(2) QUARTER(3)
#undef QUARTER
  }
  _tile_stored(0, buf, 4 * LANES);
  _tile_stored(1, buf + 16, 4 * LANES);
  _tile_stored(2, buf + 32, 4 * LANES);
  _tile_stored(3, buf + 48, 4 * LANES);
}

// single is strip for one row, which AMX takes as long for as for 16. To an element of c
// AMX adds the sum of two chains of multiply-adds, one over the even steps of a tile and one over
// the odd ones: so do these, to the bit, as long as subnormal numbers are zeros here too.
INL void ISA(single)(int parts, long n, const float *x, const char *b, float *buf) {
  __m512 sum[4] = {{0}};
  for (; n--; x += 32 * parts, b += 4 * TILE)
    UNROLL for (int half = 0; half < 4; half += 2) { // else there are too few registers
      __m512 even[2][3] = {{{0}}}, odd[2][3] = {{{0}}};
      for (int s = 0; s < 32; s += 2) {
        const char *row = b + s * 2 * LANES + 64 * half;
        UNROLL for (int j = 0; j < 2; j++) {
          __builtin_prefetch(row + 4 * TILE + 64 * j);
          __m512i w = _mm512_loadu_si512(row + 64 * j);
          __m512 e = (__m512)_mm512_slli_epi32(w, 16), o = (__m512)_mm512_and_si512(w, _mm512_set1_epi32(0xffff0000));
          UNROLL for (int p = 0; p < parts; p++) {
            even[j][p] = _mm512_fmadd_ps(_mm512_set1_ps(x[32 * p + s]), e, even[j][p]);
            odd[j][p] = _mm512_fmadd_ps(_mm512_set1_ps(x[32 * p + s + 1]), o, odd[j][p]);
          }
        }
      }
      UNROLL for (int j = 0; j < 2; j++)
        UNROLL for (int p = 0; p < parts; p++) sum[half + j] += even[j][p] + odd[j][p];
    }
  UNROLL for (int j = 0; j < 4; j++) _mm512_storeu_ps(buf + 16 * j, sum[j]);
}

// gemm_strips computes the columns of the strips from to to, for all rows.
static void ISA(gemm_strips)(const Product *g, long from, long to) {
  float buf[16 * LANES] __attribute__((aligned(64)));
  int few = g->m <= SINGLE, high = few ? 1 : 16;
  unsigned mode = _mm_getcsr();
  if (few) _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
  else ISA(configure)();
  for (; from < to; from++)
    for (long r = 0; r < g->m; r += high)
      for (long p = 0; p < g->k; p += g->block) {
        const char *b = (const char *)g->b.p + (from * g->k + p) * 2 * LANES;
        const char *a = (const char *)g->panels + (r / 16 * g->k + p) / 32 * g->parts * TILE;
        const float *x = g->panels + (r * g->k + p) * g->parts;
        long tiles = MIN(g->block, g->k - p) / 32;
        if (few && g->parts == 1) ISA(single)(1, tiles, x, b, buf);
        else if (few) ISA(single)(3, tiles, x, b, buf);
        else if (g->parts == 1) ISA(strip)(1, tiles, a, b, buf);
        else ISA(strip)(3, tiles, a, b, buf);
        float *c = g->c + r * g->row + from * LANES;
        ISA(put)(buf, LANES, c, g->row, 1, MIN(high, g->m - r), MIN(LANES, g->n - from * LANES), g->alpha, g->add || p > 0);
      }
  if (few) _mm_setcsr(mode);
  else _tile_release();
}
#include "end.h"
