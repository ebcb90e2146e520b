// amx.h: AMX multiplies tiles of 16 rows of 32 bfloat16 by tiles of 32 steps of
// 16 columns, sixteen times as fast as AVX-512 does floats. Four tiles of c are
// summed at a time, from two of a and two of b. b's panels are those of
// pairs.h, filled up with zeros to whole tiles of steps.
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
// bytes behind the one before it, the next 32 steps so many bytes on.
typedef struct {
  const char *p;
  long stride, next;
} ISA(Rows);

// rows packs lanes r to r+n of a, n <= 16, from step s on, into tiles at d.
static void ISA(rows)(const Operand *a, long r, int n, long s, long len, uint16_t *d) {
  __builtin_memset(d, 0, (len + 31) / 32 * 1024);
  for (long t = 0; t < len; t += 32, d += 512) {
    long m = MIN(32, len - t), at = r * a->lane + (s + t) * a->step;
    for (int i = 0; i < n; i++)
      if (a->bf16)
        for (long q = 0; q < m; q++) d[32 * i + q] = ((const uint16_t *)a->p)[at + i * a->lane + q * a->step];
      else if (a->step == 1 && m == 32) {
        const float *x = (const float *)a->p + at + i * a->lane;
        IVDEP for (int q = 0; q < 32; q++) {
          union { float f; uint32_t u; } v = {x[q]};
          d[32 * i + q] = (v.u + 0x7fff + (v.u >> 16 & 1)) >> 16;
        }
      } else
        for (long q = 0; q < m; q++) {
          union { float f; uint32_t u; } v = {((const float *)a->p)[at + i * a->lane + q * a->step]};
          d[32 * i + q] = (v.u + 0x7fff + (v.u >> 16 & 1)) >> 16;
        }
  }
}

// tiles writes the product of 16 or, if tall, 32 rows and 16 or, if broad, 32
// columns to buf, whose rows are 32 floats.
INL void ISA(tiles)(int tall, int broad, long n, ISA(Rows) a0, ISA(Rows) a1, const float *b, float *buf) {
  long w = broad ? 32 : 16;
  _tile_zero(0);
  if (broad) _tile_zero(1);
  if (tall) _tile_zero(2);
  if (tall && broad) _tile_zero(3);
  for (; n--; a0.p += a0.next, a1.p += a1.next, b += 16 * w) {
    _tile_loadd(4, a0.p, a0.stride);
    _tile_loadd(6, b, w * 4);
    _tile_dpbf16ps(0, 4, 6);
    if (broad) {
      _tile_loadd(7, b + 16, w * 4);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (tall) {
      _tile_loadd(5, a1.p, a1.stride);
      _tile_dpbf16ps(2, 5, 6);
    }
    if (tall && broad) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, buf, 128);
  if (broad) _tile_stored(1, buf + 16, 128);
  if (tall) _tile_stored(2, buf + 16 * 32, 128);
  if (tall && broad) _tile_stored(3, buf + 16 * 32 + 16, 128);
}
static NOINLINE void ISA(product)(int tall, int broad, long n, ISA(Rows) a0, ISA(Rows) a1, const float *b, float *buf) {
  if (tall && broad) ISA(tiles)(1, 1, n, a0, a1, b, buf);
  else if (tall) ISA(tiles)(1, 0, n, a0, a1, b, buf);
  else if (broad) ISA(tiles)(0, 1, n, a0, a1, b, buf);
  else ISA(tiles)(0, 0, n, a0, a1, b, buf);
}

// put: c = alpha·buf (+ c) for rows × cols.
INL void ISA(put)(const float *buf, float *c, long row, long col, int rows, int cols, float alpha, int add) {
  for (int i = 0; i < rows; i++)
    IVDEP for (int j = 0; j < cols; j++) {
      float *to = c + i * row + j * col;
      *to = (add ? *to : 0) + buf[32 * i + j] * alpha;
    }
}

// gemm_reads: nobody asks, as b is packed beforehand.
static int ISA(gemm_reads)(const Product *g) { return 0; }

// gemm computes the rows m0 to m1 of the columns n0 to n1; n0 is a multiple of
// WIDE, m1-m0 <= GEMM_ROWS. Rows of bfloat16 are read where they lie.
static void ISA(gemm)(const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  struct { uint8_t palette, start, zero[14]; uint16_t bytes[16]; uint8_t rows[16]; } shape = {1};
  for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
  _tile_loadconfig(&shape);
  float buf[32 * 32] __attribute__((aligned(64)));
  ISA(Rows) a[GEMM_ROWS / 16 + 1];
  for (long p = 0; p < g->k; p += g->block) {
    long len = MIN(g->block, g->k - p), tiles = (len + 31) / 32;
    char *d = (char *)scratch;
    for (long r = m0; r < m1; r += 16, d += 1024 * tiles) {
      ISA(Rows) *x = &a[(r - m0) / 16];
      *x = (ISA(Rows)){d, 64, 1024};
      if (g->a.bf16 && g->a.step == 1 && len % 32 == 0 && m1 - r >= 16)
        *x = (ISA(Rows)){(const char *)g->a.p + 2 * (r * g->a.lane + p), 2 * g->a.lane, 64};
      else
        ISA(rows)(&g->a, r, MIN(16, m1 - r), p, len, (uint16_t *)d);
    }
    for (long j = n0; j < n1; j += WIDE)
      for (long r = m0; r < m1; r += 32) {
        int rows = MIN(32, m1 - r), cols = MIN(WIDE, g->n - j), add = g->add || p > 0;
        ISA(Rows) *x = &a[(r - m0) / 16];
        ISA(product)(rows > 16, ISA(width)(g->n - j) == WIDE, tiles, x[0], x[rows > 16], ISA(at)(g, p, len, j), buf);
        float *c = g->c + r * g->row + j * g->col;
        if (g->col != 1) ISA(put)(buf, c, g->row, g->col, rows, cols, g->alpha, add);
        else if (cols != WIDE) ISA(put)(buf, c, g->row, 1, rows, cols, g->alpha, add);
        else ISA(put)(buf, c, g->row, 1, rows, WIDE, g->alpha, add);
      }
  }
  _tile_release();
}
#include "end.h"
