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
// from p to q. h is MR or ME. These steps are in panel, or it is none and they
// are in g's.
static void ISA(spot)(const Product *g, ISA(Source) a, long r, int rows, int h, long j, long p, long q, const float *panel) {
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
         panel ? panel : ISA(at)(g, b, len, j) + ((lo - b) >> PAIRS) * w, c, ldc, g->alpha, add);
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
      for (long j = n0; j < n1; j += WIDE) ISA(spot)(g, a, r, rows, h, j, g->from, g->to, 0);
    else // too few rows for a tile: pack them with rows of zeros
      for (long p = g->from, q; p < g->to; p = q) {
        q = MIN((p / g->block + 1) * g->block, g->to);
        ISA(pack)(ME, &g->a, r, rows, p, q - p, scratch);
        ISA(Source) s = {(char *)scratch, p, ME, (ME * 4) >> PAIRS, COLUMNS};
        for (long j = n0; j < n1; j += WIDE) ISA(spot)(g, s, r, rows, h, j, p, q, 0);
      }
    r += rows;
  }
}

// gemm_reads reports whether tiles can read a where it lies: its steps lie together, and
// not so that all rows of a tile meet in one set of the first-level cache.
static int ISA(gemm_reads)(const Product *g) {
  long row = g->a.lane * (g->a.bf16 ? 2 : 4);
  return g->a.step == 1 && row % 4096 != 0 && (PAIRS ? g->a.bf16 && g->k % 2 == 0 : 1);
}

// ahead fetches the part-th of parts of what will be a panel: n lanes from l0
// on, of len steps from s on. It may come from far, and packing would wait.
INL void ISA(ahead)(const Operand *b, long l0, long n, long s, long len, long part, long parts) {
  int size = b->bf16 ? 2 : 4;
  long rows = b->lane == 1 ? len : n, bytes = (b->lane == 1 ? n : len) * size, row = (b->lane == 1 ? b->step : b->lane) * size;
  const char *from = (const char *)b->p + (l0 * b->lane + s * b->step) * size;
  for (long i = rows * part / parts; i < rows * (part + 1) / parts; i++)
    for (long x = 0; x < bytes; x += 64) __builtin_prefetch(from + i * row + x, 0, 2);
}

// strip packs each panel of b where it is multiplied: it is in the first-level
// cache then, while the rows of a's block come from the second. Rows of a that
// tiles cannot read are packed once a block. m1-m0 <= GEMM_ROWS.
static void ISA(strip)(const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  long size = g->a.bf16 ? 2 : 4, tiles = (m1 - m0 + MR - 1) / MR;
  long first = ISA(gemm_reads)(g) ? m1 - (m1 - m0) % ME : m0; // row that is packed
  float *panel = scratch, *rows = scratch + WIDE * BLOCK;
  for (long p = 0; p < g->k; p += g->block) {
    long len = MIN(g->block, g->k - p), steps = (len + PAIRS) >> PAIRS;
    for (long r = first, h; r < m1; r += h) {
      h = m1 - r >= MR ? MR : ME;
      ISA(pack)(h, &g->a, r, MIN(h, m1 - r), p, len, rows + (r - first) * steps);
    }
    for (long j = n0; j < n1; j += WIDE) {
      ISA(pack)(ISA(width)(g->n - j), &g->b, j, MIN(WIDE, g->n - j), p, len, panel);
      long next = j + WIDE < n1 ? p : p + g->block, lane = j + WIDE < n1 ? j + WIDE : n0;
      for (long r = m0, h; r < m1; r += h) {
        h = m1 - r >= MR ? MR : ME;
        if (next < g->k) ISA(ahead)(&g->b, lane, MIN(WIDE, g->n - lane), next, MIN(g->block, g->k - next), (r - m0) / MR, tiles);
        ISA(Source) a = {(char *)(rows + (r - first) * steps), p, h, (h * 4) >> PAIRS, COLUMNS};
        if (r < first) a = (ISA(Source)){(const char *)g->a.p + r * g->a.lane * size, 0, g->a.lane, size, g->a.bf16 ? HALF : ROWS};
        ISA(spot)(g, a, r, MIN(h, m1 - r), h, j, p, p + len, panel);
      }
    }
  }
}

// gemm computes the rows m0 to m1 of the columns n0 to n1; n0 is a multiple of WIDE.
static void ISA(gemm)(const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  if (g->panels) ISA(direct)(g, m0, m1, n0, n1, scratch);
  else ISA(strip)(g, m0, m1, n0, n1, scratch);
}
