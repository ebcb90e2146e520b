// panels.h packs b into panels, in blocks of steps. It is included once per
// instruction set, with the panel widths WIDE > MID >= SLIM and
//   STEPS(n)   vectors that n steps of a panel take

// width returns the lanes of the panel that begins where n lanes are left.
INL int ISA(width)(long n) { return n > MID ? WIDE : n > SLIM ? MID : SLIM; }

// lanes returns the lanes of all panels for n columns, padding included.
INL long ISA(lanes)(long n) { return n / WIDE * WIDE + (n % WIDE ? ISA(width)(n % WIDE) : 0); }

// at returns the panel of the columns from j on, in the block of len steps from p on.
INL float *ISA(at)(const Product *g, long p, long len, long j) {
  return g->panels + (p >> PAIRS) * ISA(lanes)(g->n) + j * STEPS(len);
}

static void ISA(gemm_pack)(const Product *g, long from, long to) {
  long n = (g->n + WIDE - 1) / WIDE;
  for (; from < to; from++) {
    long p = from / n * g->block, j = from % n * WIDE, left = g->n - j, len = MIN(g->block, g->k - p);
    int w = ISA(width)(left);
    float *d = ISA(at)(g, p, len, j);
    ISA(pack)(w, &g->b, j, MIN(left, w), p, len, d);
    __builtin_memset(d + ((len + PAIRS) >> PAIRS) * w, 0, (STEPS(len) - ((len + PAIRS) >> PAIRS)) * w * 4);
  }
}
