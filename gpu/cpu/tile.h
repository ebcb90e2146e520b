// tile.h is a template: the micro-kernel that all products end in. It is
// included for every panel width of every instruction set, with
//   NAME(x)    x with a suffix of its own
//   VW, NV     floats in a vector, vectors in a panel's width
//   MR, ME     rows of a full tile and of one at the edge
//   REGISTER   asm's letter for a vector register
//   MULADD     multiply and add; PAIRS 1: of pairs of bfloat16 in 32 bits
// It is plain C over vector extensions. Each element of c is one chain of
// multiply-adds over the steps in their order, whatever the tile's shape, so
// every way through the template gives the same bits.
#define W (NV * VW)
typedef float NAME(V) __attribute__((vector_size(VW * 4)));
typedef float NAME(VU) __attribute__((vector_size(VW * 4), aligned(4), may_alias));
typedef uint32_t NAME(U) __attribute__((vector_size(VW * 4)));
#define V NAME(V)
#define U NAME(U)
#define LOAD(p) (*(const NAME(VU) *)(p))
#define STORE(p, v) (*(NAME(VU) *)(p) = (v))
#define SPLAT(s) ((s) - (V){0}) // not plus: adding zero is not the identity for -0, and costs an add

// tile: c (h, W) = alpha·a·b (+ c) over k steps, b a panel. Where a lies is its
// kind: COLUMNS: row i, step p at a[p*stride + i]; ROWS: at a[i*stride + p];
// HALF: as ROWS, in bfloat16.
INL void NAME(tile)(int h, int kind, long k, const void *a, long stride, const float *b,
                    float *restrict c, long ldc, float alpha, int add) {
  V acc[MR][NV];
  UNROLL for (int i = 0; i < h; i++) {
    __builtin_prefetch(c + i * ldc, 1);
    __builtin_prefetch(c + i * ldc + W - 1, 1);
    UNROLL for (int j = 0; j < NV; j++) acc[i][j] = (V){0};
  }
  if (kind == HALF && !PAIRS) {
    long p = 0;
    for (; p + 2 <= k; p += 2, b += 2 * W) { // two steps from each 32 bits of a row
      V b0[NV], b1[NV];
      UNROLL for (int j = 0; j < NV; j++) b0[j] = LOAD(b + j * VW), b1[j] = LOAD(b + W + j * VW);
      UNROLL for (int i = 0; i < h; i++) {
        U two = *(const u32u *)((const uint16_t *)a + i * stride + p) + (U){0};
        __asm__("" : "+" REGISTER(two)); // else gcc shifts before it broadcasts, in scalar registers: twice the time
        V lo = (V)(two << 16), hi = (V)(two & 0xffff0000u);
        UNROLL for (int j = 0; j < NV; j++) acc[i][j] = MULADD(acc[i][j], lo, b0[j]);
        UNROLL for (int j = 0; j < NV; j++) acc[i][j] = MULADD(acc[i][j], hi, b1[j]);
      }
    }
    if (p < k)
      UNROLL for (int i = 0; i < h; i++) {
        V s = (V)(((uint32_t)((const uint16_t *)a)[i * stride + p] << 16) + (U){0});
        UNROLL for (int j = 0; j < NV; j++) acc[i][j] = MULADD(acc[i][j], s, LOAD(b + j * VW));
      }
  } else
    for (long p = 0; p < k; p++, b += W) {
      V bv[NV];
      UNROLL for (int j = 0; j < NV; j++) {
        bv[j] = LOAD(b + j * VW);
        __builtin_prefetch(b + j * VW + 8 * W);
      }
      UNROLL for (int i = 0; i < h; i++) {
        V s = SPLAT(kind == COLUMNS ? ((const float *)a)[p * stride + i]
                    : kind == ROWS  ? ((const float *)a)[i * stride + p]
                                    : *(const f32u *)((const uint16_t *)a + i * stride + 2 * p));
        UNROLL for (int j = 0; j < NV; j++) acc[i][j] = MULADD(acc[i][j], s, bv[j]);
      }
    }
  FORGET(c); // else gcc keeps the addresses of the prefetches through the loop, and spills vectors for them
  if (add)
    UNROLL for (int i = 0; i < h; i++, c += ldc)
      UNROLL for (int j = 0; j < NV; j++) STORE(c + j * VW, LOAD(c + j * VW) + acc[i][j] * alpha);
  else
    UNROLL for (int i = 0; i < h; i++, c += ldc)
      UNROLL for (int j = 0; j < NV; j++) STORE(c + j * VW, acc[i][j] * alpha);
}

#define TILE(name, h, kind)                                                                          \
  static NOINLINE void NAME(name)(long k, const void *a, long stride, const float *b, float *c,      \
                                  long ldc, float alpha, int add) {                                  \
    NAME(tile)(h, kind, k, a, stride, b, c, ldc, alpha, add);                                        \
  }
TILE(columns, MR, COLUMNS)
TILE(columns_edge, ME, COLUMNS)
TILE(half, MR, HALF)
TILE(half_edge, ME, HALF)
#if !PAIRS // else floats are packed to pairs first
TILE(rows, MR, ROWS)
TILE(rows_edge, ME, ROWS)
#endif
static tile_t *const NAME(tiles)[3][2] = { // by kind, and whether at the edge
  [COLUMNS] = {NAME(columns), NAME(columns_edge)},
#if !PAIRS
  [ROWS] = {NAME(rows), NAME(rows_edge)},
#endif
  [HALF] = {NAME(half), NAME(half_edge)},
};
#undef W
#undef V
#undef U
#undef LOAD
#undef STORE
#undef SPLAT
#undef TILE
#undef NAME
#undef VW
#undef NV
