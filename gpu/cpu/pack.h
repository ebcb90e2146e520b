// pack.h copies lanes and steps of an operand into a panel: [step][lane], with
// zeros in the lanes that it has too many. Only here does it matter how a
// matrix is stored and whether it is transposed.

INL f4 ISA(four)(int bf16, const void *p, long at) {
  if (!bf16) return *(const f4u *)((const float *)p + at);
  h4 h = *(const h4u *)((const uint16_t *)p + at);
  return (f4)(__builtin_convertvector(h, u4) << 16);
}

INL float ISA(one)(int bf16, const void *p, long at) {
  return bf16 ? widen(((const uint16_t *)p)[at]) : ((const float *)p)[at];
}

// transpose stores four lanes r of four steps each at d, the steps w apart.
INL void ISA(transpose)(float *d, long w, f4 r0, f4 r1, f4 r2, f4 r3) {
  f4 a0 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), a1 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  f4 b0 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), b1 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  *(f4u *)d = __builtin_shufflevector(a0, b0, 0, 1, 4, 5);
  *(f4u *)(d + w) = __builtin_shufflevector(a0, b0, 2, 3, 6, 7);
  *(f4u *)(d + 2 * w) = __builtin_shufflevector(a1, b1, 0, 1, 4, 5);
  *(f4u *)(d + 3 * w) = __builtin_shufflevector(a1, b1, 2, 3, 6, 7);
}

#if !PAIRS
// panel packs lanes l0 to l0+n, n <= w, of k steps from s0 on.
INL void ISA(panel)(int bf16, int w, const Operand *o, long l0, int n, long s0, long k, float *restrict d) {
  const void *p = o->p;
  long at = l0 * o->lane + s0 * o->step, s = 0;
  if (o->lane == 1) { // lanes lie together: copy step after step
    for (; s < k; s++, d += w, at += o->step) {
      int i = 0;
      for (; i + 4 <= n; i += 4) *(f4u *)(d + i) = ISA(four)(bf16, p, at + i);
      for (; i < n; i++) d[i] = ISA(one)(bf16, p, at + i);
      for (; i < w; i++) d[i] = 0;
    }
    return;
  }
  for (; s + 4 <= k; s += 4, d += 4 * w) { // steps lie together: transpose 4 by 4
    int i = 0;
    for (; i + 4 <= n; i += 4) {
      long a = at + i * o->lane + s;
      ISA(transpose)(d + i, w, ISA(four)(bf16, p, a), ISA(four)(bf16, p, a + o->lane),
                     ISA(four)(bf16, p, a + 2 * o->lane), ISA(four)(bf16, p, a + 3 * o->lane));
    }
    for (; i < w; i++)
      for (int q = 0; q < 4; q++) d[q * w + i] = i < n ? ISA(one)(bf16, p, at + i * o->lane + s + q) : 0;
  }
  for (; s < k; s++, d += w)
    for (int i = 0; i < w; i++) d[i] = i < n ? ISA(one)(bf16, p, at + i * o->lane + s) : 0;
}

#else // a float of a panel is a pair of bfloat16: steps 2s and 2s+1

INL u4 ISA(pair)(f4 even, f4 odd) { return (round_bf16(even) >> 16) | (round_bf16(odd) & 0xffff0000u); }

INL f4 ISA(eight)(int bf16, const void *p, long at) { // eight steps as four pairs
  if (bf16) return *(const f4u *)((const uint16_t *)p + at);
  f4 x = *(const f4u *)((const float *)p + at), y = *(const f4u *)((const float *)p + at + 4);
  return (f4)ISA(pair)(__builtin_shufflevector(x, y, 0, 2, 4, 6), __builtin_shufflevector(x, y, 1, 3, 5, 7));
}

INL float ISA(two)(int bf16, const void *p, long at, long step, int both) {
  f4 even = {ISA(one)(bf16, p, at)}, odd = {both ? ISA(one)(bf16, p, at + step) : 0};
  return ((f4)ISA(pair)(even, odd))[0];
}

INL void ISA(panel)(int bf16, int w, const Operand *o, long l0, int n, long s0, long k, float *restrict d) {
  const void *p = o->p;
  long at = l0 * o->lane + s0 * o->step, s = 0;
  if (o->lane == 1)
    for (; s + 2 <= k; s += 2, d += w, at += 2 * o->step) {
      int i = 0;
      for (; i + 4 <= n; i += 4)
        *(u4u *)(d + i) = ISA(pair)(ISA(four)(bf16, p, at + i), ISA(four)(bf16, p, at + o->step + i));
      for (; i < n; i++) d[i] = ISA(two)(bf16, p, at + i, o->step, 1);
      for (; i < w; i++) d[i] = 0;
    }
  else
    for (; s + 8 <= k; s += 8, d += 4 * w, at += 8) {
      int i = 0;
      for (; i + 4 <= n; i += 4) {
        long a = at + i * o->lane;
        ISA(transpose)(d + i, w, ISA(eight)(bf16, p, a), ISA(eight)(bf16, p, a + o->lane),
                       ISA(eight)(bf16, p, a + 2 * o->lane), ISA(eight)(bf16, p, a + 3 * o->lane));
      }
      for (; i < w; i++)
        for (int q = 0; q < 4; q++) d[q * w + i] = i < n ? ISA(two)(bf16, p, at + i * o->lane + 2 * q, 1, 1) : 0;
    }
  for (; s < k; s += 2, d += w, at += 2 * o->step)
    for (int i = 0; i < w; i++) d[i] = i < n ? ISA(two)(bf16, p, at + i * o->lane, o->step, s + 1 < k) : 0;
}
#endif

// pack is panel with the type and the width as constants.
static NOINLINE void ISA(pack)(int w, const Operand *o, long l0, int n, long s0, long k, float *d) {
#define PACK(w) (o->bf16 ? ISA(panel)(1, w, o, l0, n, s0, k, d) : ISA(panel)(0, w, o, l0, n, s0, k, d))
  if (w == WIDE) PACK(WIDE);
  else if (w == MID) PACK(MID);
  else if (w == SLIM) PACK(SLIM);
  else if (w == MR) PACK(MR);
  else PACK(ME);
#undef PACK
}
