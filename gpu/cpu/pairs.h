// pairs.h: AVX-512 with products of pairs of bfloat16, summed in float: twice
// the speed. Panels hold steps 2p and 2p+1 in the 32 bits of a float.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma,bmi2,prefer-vector-width=512")
#endif
#define ISA(x) x##_pairs
#define REGISTER "v"
#define PAIRS 1
#define STEPS(n) (((n) + 1) / 2)
#define MR 12
#define ME 4
#define WIDE 32
#define MID 16
#define SLIM 8
#define MULADD(c, a, b) ((V)_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b)))

#define NAME(x) x##_wide_pairs
#define VW 16
#define NV 2
#include "tile.h"
#define NAME(x) x##_mid_pairs
#define VW 16
#define NV 1
#include "tile.h"
#undef MULADD
#define MULADD(c, a, b) ((V)_mm256_dpbf16_ps((__m256)(c), (__m256bh)(a), (__m256bh)(b)))
#define NAME(x) x##_slim_pairs
#define VW 8
#define NV 1
#include "tile.h"
#include "pack.h"
#include "panels.h"
#include "gemm.h"
#include "end.h"
