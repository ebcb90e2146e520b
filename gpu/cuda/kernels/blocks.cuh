// blocks.cuh: weights that are stored in blocks, as GGUF files have them
// (gpu.Type.Decode says what the bits mean). Blocks are multiples of 2 bytes and
// lie at any, hence words of 16 bits. Products and sums are rounded one by one,
// so that a decoded weight is the same number on all devices.
#pragma once
#include "base.cuh"

typedef unsigned char u8;
typedef signed char i8;

struct f16 {
  u16 bits;
};
struct q8_0 {
  u16 d, q[16];
};
struct q4_0 {
  u16 d, q[8];
};
struct q4_1 {
  u16 d, least, q[8];
};
struct q4_k {
  u16 d, least;
  u8 packed[12];
  u16 q[64];
};
struct q6_k {
  u16 low[64], high[32];
  i8 scales[16];
  u16 d;
};
struct nf4 {
  u16 d;
  u8 scales[4];
  u16 q[64];
};

// elements_of is how many elements a T holds.
template <class T> constexpr int elements_of = 1;
template <> constexpr int elements_of<q8_0> = 32;
template <> constexpr int elements_of<q4_0> = 32;
template <> constexpr int elements_of<q4_1> = 32;
template <> constexpr int elements_of<q4_k> = 256;
template <> constexpr int elements_of<q6_k> = 256;
template <> constexpr int elements_of<nf4> = 256;

DEVICE f32 half_to_f32(u16 h) {
#ifdef SIM
  const u32 e = h >> 10 & 31, frac = h & 1023;
  const f32 x = e == 0    ? (f32)frac / (1 << 24)
                : e == 31 ? __uint_as_float(0x7f800000u | frac << 13)
                          : __uint_as_float((e + 112) << 23 | frac << 13);
  return h >> 15 ? -x : x;
#else
  f32 x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
#endif
}
DEVICE f32 to_f32(f16 x) { return half_to_f32(x.bits); }

DEVICE void load8(f32 (&v)[8], const f16 *row, i64 at, i64 n, bool) {
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = at + i < n ? to_f32(row[at + i]) : 0;
}

// bytes8 reads eight bytes, and of each the bits that are wanted.
DEVICE void bytes8(int (&b)[8], const u16 *p, int shift, int mask) {
#pragma unroll
  for (int i = 0; i < 4; i++) b[2 * i] = p[i] >> shift & mask, b[2 * i + 1] = p[i] >> (8 + shift) & mask;
}

// Of blocks, at is a multiple of 8 and all eight elements are there.

DEVICE void load8(f32 (&v)[8], const q8_0 *row, i64 at, i64, bool) {
  const q8_0 &x = row[at / 32];
  const f32 d = half_to_f32(x.d);
  int b[8];
  bytes8(b, x.q + at % 32 / 2, 0, 255);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = d * (i8)b[i];
}

DEVICE void load8(f32 (&v)[8], const q4_0 *row, i64 at, i64, bool) {
  const q4_0 &x = row[at / 32];
  const f32 d = half_to_f32(x.d);
  int b[8];
  bytes8(b, x.q + at % 16 / 2, at % 32 / 16 * 4, 15);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = d * (b[i] - 8);
}

DEVICE void load8(f32 (&v)[8], const q4_1 *row, i64 at, i64, bool) {
  const q4_1 &x = row[at / 32];
  const f32 d = half_to_f32(x.d), least = half_to_f32(x.least);
  int b[8];
  bytes8(b, x.q + at % 16 / 2, at % 32 / 16 * 4, 15);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = __fadd_rn(__fmul_rn(d, b[i]), least);
}

DEVICE void load8(f32 (&v)[8], const q4_k *row, i64 at, i64, bool) {
  const q4_k &x = row[at / 256];
  const int g = at % 256 / 32; // of eight groups with a scale and a least value of 6 bits each
  const u8 *p = x.packed;
  const int s = g < 4 ? p[g] & 63 : (p[g + 4] & 15) | p[g - 4] >> 6 << 4;
  const int m = g < 4 ? p[g + 4] & 63 : p[g + 4] >> 4 | p[g] >> 6 << 4;
  const f32 d = __fmul_rn(half_to_f32(x.d), s), least = __fmul_rn(half_to_f32(x.least), m);
  int b[8];
  bytes8(b, x.q + g / 2 * 16 + at % 32 / 2, g % 2 * 4, 15);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = __fsub_rn(__fmul_rn(d, b[i]), least);
}

DEVICE void load8(f32 (&v)[8], const q6_k *row, i64 at, i64, bool) {
  const q6_k &x = row[at / 256];
  const int part = at % 256 / 128, i0 = at % 128;
  const f32 d = __fmul_rn(half_to_f32(x.d), x.scales[at % 256 / 16]);
  int low[8], high[8];
  bytes8(low, x.low + 32 * part + i0 % 64 / 2, i0 / 64 * 4, 15);
  bytes8(high, x.high + 16 * part + i0 % 32 / 2, i0 / 32 * 2, 3);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = d * ((low[i] | high[i] << 4) - 32);
}

// gpu.NormalFloat4. The 16 lie in one line of the cache, so that all lanes of a
// warp get theirs at once; constant memory would serve one address at a time.
__device__ const f32 normal_float4[16] = {
    -1, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0,
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171229224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1,
};

DEVICE void load8(f32 (&v)[8], const nf4 *row, i64 at, i64, bool) {
  const nf4 &x = row[at / 256];
  const f32 d = __fmul_rn(half_to_f32(x.d), x.scales[at % 256 / 64]);
  const u16 *q = x.q + at % 256 / 4;
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = d * normal_float4[q[i / 4] >> i % 4 * 4 & 15];
}
