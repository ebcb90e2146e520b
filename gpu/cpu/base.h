// base.h: what every CPU of the architecture has: NEON on arm64, where 8 rows
// of three vectors are 24 of 32 registers; SSE2, without FMA, on amd64.
#define ISA(x) x##_base
#define PAIRS 0
#define STEPS(n) (n)
#if defined(__aarch64__)
#define REGISTER "w"
#define MR 8
#define ME 4
#define BASE_NV 3
#else
#define REGISTER "x"
#define MR 4
#define ME 2
#define BASE_NV 2
#endif
#define BASE_WIDE (4 * BASE_NV)
#define WIDE BASE_WIDE
#define MID 4
#define SLIM 4
#define MULADD(c, a, b) ((c) + (a) * (b))

#define NAME(x) x##_wide_base
#define VW 4
#define NV BASE_NV
#include "tile.h"
#define NAME(x) x##_mid_base
#define VW 4
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
#define LAST
#include "end.h"
