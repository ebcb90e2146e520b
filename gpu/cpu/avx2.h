// avx2.h: 6 rows of two vectors of 8 floats are 12 of the 16 registers.
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi2")
#endif
#define ISA(x) x##_avx2
#define REGISTER "x"
#define PAIRS 0
#define STEPS(n) (n)
#define MR 6
#define ME 2
#define WIDE 16
#define MID 8
#define SLIM 8
#define MULADD(c, a, b) ((c) + (a) * (b))

#define NAME(x) x##_wide_avx2
#define VW 8
#define NV 2
#include "tile.h"
#define NAME(x) x##_mid_avx2
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
