// avx512.h: 12 rows of two vectors of 16 floats are 24 of the 32 registers.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi2,prefer-vector-width=512")
#endif
#define ISA(x) x##_avx512
#define REGISTER "v"
#define PAIRS 0
#define STEPS(n) (n)
#define MR 12
#define ME 4
#define WIDE 32
#define MID 16
#define SLIM 8
#define MULADD(c, a, b) ((c) + (a) * (b))

#define NAME(x) x##_wide_avx512
#define VW 16
#define NV 2
#include "tile.h"
#define NAME(x) x##_mid_avx512
#define VW 16
#define NV 1
#include "tile.h"
#define NAME(x) x##_slim_avx512
#define VW 8
#define NV 1
#include "tile.h"
#include "pack.h"
#include "panels.h"
#include "gemm.h"
#include "ops.h"
#include "blocks.h"
#include "merge.h"
#include "few.h"
#include "strips.h"
#include "rows.h"
#include "attention.h"
#include "end.h"
