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

// transposeN stores N lanes of four steps each at d, the steps w apart. rq holds
// the lanes q, 4+q, 8+q …, each of them as a quad of its four steps.
#define QUAD(n, z, a, b, c, d) INDEX(n, z, a), INDEX(n, z, b), INDEX(n, z, c), INDEX(n, z, d)
#define INDEX(n, z, i) (4 * (z) + (i) + ((i) < 4 ? 0 : (n) - 4))
#define SHUFFLE4(x, y, ...) __builtin_shufflevector(x, y, QUAD(4, 0, __VA_ARGS__))
#define SHUFFLE8(x, y, ...) __builtin_shufflevector(x, y, QUAD(8, 0, __VA_ARGS__), QUAD(8, 1, __VA_ARGS__))
#define SHUFFLE16(x, y, ...) \
  __builtin_shufflevector(x, y, QUAD(16, 0, __VA_ARGS__), QUAD(16, 1, __VA_ARGS__), QUAD(16, 2, __VA_ARGS__), QUAD(16, 3, __VA_ARGS__))
#define TRANSPOSE(n)                                                                                     \
  INL void ISA(transpose##n)(float *d, long w, f##n r0, f##n r1, f##n r2, f##n r3) {                     \
    f##n a0 = SHUFFLE##n(r0, r1, 0, 4, 1, 5), a1 = SHUFFLE##n(r0, r1, 2, 6, 3, 7);                       \
    f##n b0 = SHUFFLE##n(r2, r3, 0, 4, 1, 5), b1 = SHUFFLE##n(r2, r3, 2, 6, 3, 7);                       \
    *(f##n##u *)d = SHUFFLE##n(a0, b0, 0, 1, 4, 5);                                                      \
    *(f##n##u *)(d + w) = SHUFFLE##n(a0, b0, 2, 3, 6, 7);                                                \
    *(f##n##u *)(d + 2 * w) = SHUFFLE##n(a1, b1, 0, 1, 4, 5);                                            \
    *(f##n##u *)(d + 3 * w) = SHUFFLE##n(a1, b1, 2, 3, 6, 7);                                            \
  }
TRANSPOSE(4)
#if WIDE >= 16
TRANSPOSE(8)
#endif
#if WIDE >= 32
TRANSPOSE(16)
#endif

// An element of a panel is a step, or with PAIRS the steps 2s and 2s+1 in the
// 32 bits of a float.
#define PER (1 + PAIRS)

#if !PAIRS
// quad returns four elements of one lane, across one of each of four lanes.
INL f4 ISA(quad)(int bf16, const void *p, long at) { return ISA(four)(bf16, p, at); }
INL f4 ISA(across)(int bf16, const void *p, long at, long step) { return ISA(four)(bf16, p, at); }
INL float ISA(cell)(int bf16, const void *p, long at, long step, int both) { return ISA(one)(bf16, p, at); }

#else
INL u4 ISA(pair)(f4 even, f4 odd) { return (round_bf16(even) >> 16) | (round_bf16(odd) & 0xffff0000u); }

INL f4 ISA(quad)(int bf16, const void *p, long at) {
  if (bf16) return *(const f4u *)((const uint16_t *)p + at);
  f4 x = *(const f4u *)((const float *)p + at), y = *(const f4u *)((const float *)p + at + 4);
  return (f4)ISA(pair)(__builtin_shufflevector(x, y, 0, 2, 4, 6), __builtin_shufflevector(x, y, 1, 3, 5, 7));
}

INL f4 ISA(across)(int bf16, const void *p, long at, long step) {
  return (f4)ISA(pair)(ISA(four)(bf16, p, at), ISA(four)(bf16, p, at + step));
}

// zip16 returns two steps of 16 lanes as pairs.
INL f16 ISA(zip16)(const uint16_t *p, long step) {
  h16 x = *(const h16u *)p, y = *(const h16u *)(p + step);
#define FROM(i) i, 16 + i, i + 1, 17 + i, i + 2, 18 + i, i + 3, 19 + i
  return (f16)__builtin_shufflevector(x, y, FROM(0), FROM(4), FROM(8), FROM(12));
#undef FROM
}

// zip32 stores those of 32 lanes.
INL void ISA(zip32)(float *d, const uint16_t *p, long step) {
  h32 x = *(const h32u *)p, y = *(const h32u *)(p + step);
#define FROM(i) i, 32 + i, i + 1, 33 + i, i + 2, 34 + i, i + 3, 35 + i
  *(h32u *)d = __builtin_shufflevector(x, y, FROM(0), FROM(4), FROM(8), FROM(12));
  *(h32u *)(d + 16) = __builtin_shufflevector(x, y, FROM(16), FROM(20), FROM(24), FROM(28));
#undef FROM
}

// turn32 packs 32 steps of 16 lanes, and fetches those next elements on: they may come from
// far, and each is a stream of its own.
INL void ISA(turn32)(const uint16_t *p, long lane, long next, float *d, long w) {
  f16 quads[4][4]; // by four pairs of steps: lanes 0, 4, 8, 12, then 1, 5, 9, 13 …
  UNROLL for (int q = 0; q < 4; q++) {
    __m512 l[4];
    UNROLL for (int i = 0; i < 4; i++) {
      l[i] = _mm512_loadu_ps(p + (4 * i + q) * lane);
      __builtin_prefetch(p + (4 * i + q) * lane + next);
    }
    __m512 a = _mm512_shuffle_f32x4(l[0], l[1], 0x44), b = _mm512_shuffle_f32x4(l[2], l[3], 0x44);
    __m512 c = _mm512_shuffle_f32x4(l[0], l[1], 0xee), e = _mm512_shuffle_f32x4(l[2], l[3], 0xee);
    quads[0][q] = (f16)_mm512_shuffle_f32x4(a, b, 0x88), quads[1][q] = (f16)_mm512_shuffle_f32x4(a, b, 0xdd);
    quads[2][q] = (f16)_mm512_shuffle_f32x4(c, e, 0x88), quads[3][q] = (f16)_mm512_shuffle_f32x4(c, e, 0xdd);
  }
  UNROLL for (int g = 0; g < 4; g++, d += 4 * w) ISA(transpose16)(d, w, quads[g][0], quads[g][1], quads[g][2], quads[g][3]);
}

INL float ISA(cell)(int bf16, const void *p, long at, long step, int both) {
  f4 even = {ISA(one)(bf16, p, at)}, odd = {both ? ISA(one)(bf16, p, at + step) : 0};
  return ((f4)ISA(pair)(even, odd))[0];
}
#endif

// turn packs four steps of n lanes, and zeros up to w.
INL void ISA(turn)(int bf16, int w, const void *p, long at, long lane, int n, float *restrict d) {
  int i = 0;
#define LANE(i) ISA(quad)(bf16, p, at + (i) * lane)
#define TWO(i) __builtin_shufflevector(LANE(i), LANE((i) + 4), 0, 1, 2, 3, 4, 5, 6, 7)
#if WIDE >= 32
#define FOUR(i) __builtin_shufflevector(TWO(i), TWO((i) + 8), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
  for (; i + 16 <= n; i += 16) ISA(transpose16)(d + i, w, FOUR(i), FOUR(i + 1), FOUR(i + 2), FOUR(i + 3));
#undef FOUR
#endif
#if WIDE >= 16
  for (; i + 8 <= n; i += 8) ISA(transpose8)(d + i, w, TWO(i), TWO(i + 1), TWO(i + 2), TWO(i + 3));
#endif
  for (; i + 4 <= n; i += 4) ISA(transpose4)(d + i, w, LANE(i), LANE(i + 1), LANE(i + 2), LANE(i + 3));
#undef LANE
#undef TWO
  for (; i < w; i++)
    for (int q = 0; q < 4; q++) d[q * w + i] = i < n ? ISA(cell)(bf16, p, at + i * lane + q * PER, 1, 1) : 0;
}

// panel packs lanes l0 to l0+n, n <= w, of k steps from s0 on.
INL void ISA(panel)(int bf16, int w, const Operand *o, long l0, int n, long s0, long k, float *restrict d) {
  const void *p = o->p;
  long at = l0 * o->lane + s0 * o->step, s = 0;
  if (o->lane == 1) // lanes lie together: copy step after step
    for (; s + PER <= k; s += PER, d += w, at += PER * o->step) {
      int i = 0;
      if (n == w && !bf16 && !PAIRS) {
        __builtin_memcpy(d, (const float *)p + at, 4 * w);
        continue;
      }
#if PAIRS
      if (n == w && bf16 && w % 16 == 0) {
        const uint16_t *x = (const uint16_t *)p + at;
        if (w == 32) ISA(zip32)(d, x, o->step);
        else UNROLL for (; i < w; i += 16) *(f16u *)(d + i) = ISA(zip16)(x + i, o->step);
        continue;
      }
#endif
      for (; i + 4 <= n; i += 4) *(f4u *)(d + i) = ISA(across)(bf16, p, at + i, o->step);
      for (; i < n; i++) d[i] = ISA(cell)(bf16, p, at + i, o->step, 1);
      for (; i < w; i++) d[i] = 0;
    }
  else { // steps lie together: transpose
#if PAIRS
    for (; bf16 && n == w && w >= 16 && s + 32 <= k; s += 32, d += 16 * w, at += 32)
      for (int i = 0; i < w; i += 16) ISA(turn32)((const uint16_t *)p + at + i * o->lane, o->lane, w * o->lane, d + i, w);
#endif
    for (; s + 4 * PER <= k; s += 4 * PER, d += 4 * w, at += 4 * PER) ISA(turn)(bf16, w, p, at, o->lane, n, d);
  }
  for (; s < k; s += PER, d += w, at += PER * o->step)
    for (int i = 0; i < w; i++) d[i] = i < n ? ISA(cell)(bf16, p, at + i * o->lane, o->step, s + 1 < k) : 0;
}

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
#undef PER
