// gemm.h multiplies: tiles of c over panels of b. It is included once per
// instruction set, with the panel widths WIDE > MID >= SLIM and what tile.h says.
//
// The steps are cut into blocks that depend on k alone, each summed in
// registers in order and then added to c. So an element of c has the same bits
// whatever the number of rows and columns, and on every CPU that has FMA.

INL tile_t *ISA(pick)(int w, int kind, int edge) {
  if (w == WIDE) return ISA(tiles_wide)[kind][edge];
#if SLIM < MID
  if (w == SLIM) return ISA(tiles_slim)[kind][edge];
#endif
  return ISA(tiles_mid)[kind][edge];
}

// Source is where a tile finds its rows of a.
typedef struct {
  const char *p;
  long from;         // the step that lies at p
  long stride, step; // step in bytes
  int kind;
} ISA(Source);

// gather and scatter move a tile that is cut off, or that lies transposed in c.
static NOINLINE void ISA(gather)(float *buf, int w, const float *c, long row, long col, int rows, int cols) {
  for (int y = 0; y < cols; y++)
    for (int x = 0; x < rows; x++) buf[x * w + y] = c[x * row + y * col];
}
static NOINLINE void ISA(scatter)(const float *buf, int w, float *c, long row, long col, int rows, int cols) {
  int y = 0;
  if (row == 1 && rows % 4 == 0)
    for (; y + 4 <= cols; y += 4)
      for (int x = 0; x < rows; x += 4) {
        const float *b = buf + x * w + y;
        ISA(transpose4)(c + y * col + x, col, *(f4u *)b, *(f4u *)(b + w), *(f4u *)(b + 2 * w), *(f4u *)(b + 3 * w));
      }
  for (; y < cols; y++)
    for (int x = 0; x < rows; x++) c[x * row + y * col] = buf[x * w + y];
}

// spot computes the tile of rows r to r+rows, from column j on, over the steps
// from p to q. h is MR or ME.
static void ISA(spot)(const Product *g, ISA(Source) a, long r, int rows, int h, long j, long p, long q) {
  long left = g->n - j;
  int w = ISA(width)(left), cols = MIN(left, w), whole = rows == h && cols == w && g->col == 1;
  float buf[MR * WIDE] __attribute__((aligned(64)));
  float *home = g->c + r * g->row + j * g->col, *c = whole ? home : buf;
  long ldc = whole ? g->row : w;
  int add = g->add || p > g->from;
  tile_t *tile = ISA(pick)(w, a.kind, h != MR);
  if (!whole && add) ISA(gather)(buf, w, home, g->row, g->col, rows, cols);
  for (long b = p / g->block * g->block; b < q; b += g->block, add = 1) {
    long len = MIN(g->block, g->k - b), lo = b < p ? p : b, hi = MIN(b + len, q);
    tile((hi - lo + PAIRS) >> PAIRS, a.p + (lo - a.from) * a.step, a.stride,
         ISA(at)(g, b, len, j) + ((lo - b) >> PAIRS) * w, c, ldc, g->alpha, add);
  }
  if (!whole) ISA(scatter)(buf, w, home, g->row, g->col, rows, cols);
}

// direct reads a where it lies. Each tile runs through all the blocks, so the
// rows of a stream by once.
static void ISA(direct)(const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  long size = g->a.bf16 ? 2 : 4;
  ISA(Source) a = {0, 0, g->a.step == 1 ? g->a.lane : g->a.step, g->a.step * size,
                   g->a.bf16 ? HALF : g->a.step == 1 ? ROWS : COLUMNS};
  for (long r = m0; r < m1;) {
    int h = m1 - r >= MR ? MR : ME, rows = MIN(h, m1 - r);
    a.p = (const char *)g->a.p + r * g->a.lane * size;
    if (rows == h)
      for (long j = n0; j < n1; j += WIDE) ISA(spot)(g, a, r, rows, h, j, g->from, g->to);
    else // too few rows for a tile: pack them with rows of zeros
      for (long p = g->from, q; p < g->to; p = q) {
        q = MIN((p / g->block + 1) * g->block, g->to);
        ISA(pack)(ME, &g->a, r, rows, p, q - p, scratch);
        ISA(Source) s = {(char *)scratch, p, ME, (ME * 4) >> PAIRS, COLUMNS};
        for (long j = n0; j < n1; j += WIDE) ISA(spot)(g, s, r, rows, h, j, p, q);
      }
    r += rows;
  }
}

// packed packs a block of a, which then stays in the second-level cache while
// b's panels pass through the first. m1-m0 <= GEMM_ROWS.
static void ISA(packed)(const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  for (long p = 0; p < g->k; p += g->block) {
    long len = MIN(g->block, g->k - p), steps = (len + PAIRS) >> PAIRS;
    for (long r = m0, h; r < m1; r += h) {
      h = m1 - r >= MR ? MR : ME;
      ISA(pack)(h, &g->a, r, MIN(h, m1 - r), p, len, scratch + (r - m0) * steps);
    }
    for (long j = n0; j < n1; j += WIDE)
      for (long r = m0, h; r < m1; r += h) {
        h = m1 - r >= MR ? MR : ME;
        ISA(Source) a = {(char *)(scratch + (r - m0) * steps), p, h, (h * 4) >> PAIRS, COLUMNS};
        ISA(spot)(g, a, r, MIN(h, m1 - r), h, j, p, p + len);
      }
  }
}

// gemm computes the rows m0 to m1 of the columns n0 to n1; n0 is a multiple of WIDE.
static void ISA(gemm)(const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  if (g->direct) ISA(direct)(g, m0, m1, n0, n1, scratch);
  else ISA(packed)(g, m0, m1, n0, n1, scratch);
}
