// What every kernel needs: bf16 without cuda_bf16.h, sums over warps and blocks.
#pragma once

#ifndef SIM
#define DYNAMIC_SHARED(type, name)                          \
  extern __shared__ __align__(128) unsigned char shared_[]; \
  type *name = (type *)shared_
#endif

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 { u16 v; };

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __uint_as_float((u32)x.v << 16); }

// narrow rounds to the nearest, ties to even; a NaN stays one.
__device__ __forceinline__ bf16 narrow(float f) {
  bf16 r;
#ifndef SIM
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.v) : "f"(f));
#else
  u32 u = __float_as_uint(f);
  r.v = (u & 0x7fffffffu) > 0x7f800000u ? 0x7fff : (u16)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
#endif
  return r;
}

__device__ __forceinline__ void put(float *p, float v) { *p = v; }
__device__ __forceinline__ void put(bf16 *p, float v) { *p = narrow(v); }
