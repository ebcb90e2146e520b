// kernels.c includes the templates once for every instruction set, and picks
// one at run time.
#ifndef __clang__
// Without these the loops with exp and sqrt stay scalar. Never -ffast-math: it
// would fold away the rounding in exp.
#pragma GCC optimize("no-trapping-math", "no-math-errno")
#endif
#include "kernels.h"

#define INL static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define FORGET(x) __asm__("" : "+r"(x)) // the compiler no longer knows how x was computed
#define UNROLL _Pragma("GCC unroll 16")
#ifdef __clang__
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#pragma clang diagnostic ignored "-Wpass-failed" // the hash of dropout stays scalar
#else
#define IVDEP _Pragma("GCC ivdep") // equal pointers are fine, overlapping ones do not occur
#endif
#define MIN(a, b) ((a) < (b) ? (a) : (b))

enum { COLUMNS, ROWS, HALF }; // see tile.h
enum { BLOCK = 384, ATTENTION_BLOCK = 256 };
typedef void tile_t(long k, const void *a, long stride, const float *b, float *c, long ldc, float alpha, int add);

typedef float f4 __attribute__((vector_size(16)));
typedef float f4u __attribute__((vector_size(16), aligned(4), may_alias));
typedef float f8 __attribute__((vector_size(32)));
typedef float f8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef float f16 __attribute__((vector_size(64)));
typedef float f16u __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t u4 __attribute__((vector_size(16)));
typedef uint32_t u4u __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint16_t h4 __attribute__((vector_size(8)));
typedef uint16_t h4u __attribute__((vector_size(8), aligned(2), may_alias));
typedef uint16_t h16 __attribute__((vector_size(32)));
typedef uint16_t h16u __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint16_t h32 __attribute__((vector_size(64)));
typedef uint16_t h32u __attribute__((vector_size(64), aligned(2), may_alias));
typedef float f32u __attribute__((aligned(2), may_alias));
typedef uint32_t u32u __attribute__((aligned(2), may_alias));

INL float widen(uint16_t h) {
  union { uint32_t u; float f; } x = {(uint32_t)h << 16};
  return x.f;
}

// narrow rounds to the nearest bfloat16, ties to even. A NaN stays one.
INL uint16_t narrow(float f) {
  union { float f; uint32_t u; } x = {f};
  uint32_t r = (x.u + 0x7fff + (x.u >> 16 & 1)) >> 16;
  return f != f ? (uint16_t)(x.u >> 16 | 0x40) : (uint16_t)r;
}

INL u4 round_bf16(f4 x) { // in the upper halves
  u4 u = (u4)x;
  return u + 0x7fff + (u >> 16 & 1);
}

#if defined(__x86_64__)
#include <immintrin.h>
#include "avx512.h"
#include "pairs.h"
#include "amx.h"
#include "avx2.h"
#endif
#include "base.h"

long gemm_block(int isa, long k) {
  long most = isa == ISA_AMX ? 2 * BLOCK : BLOCK, by = isa == ISA_AMX ? 32 : 8; // as many bytes
  long n = (k + most - 1) / most;
  return n ? ((k + n - 1) / n + by - 1) / by * by : by;
}

long gemm_scratch(void) { return (GEMM_ROWS + 16 + 32) * BLOCK; }

#if defined(__x86_64__)
#include <cpuid.h>

// avx2 reports whether the CPU has all that avx2.h is compiled for. Not every compiler's
// __builtin_cpu_supports knows F16C.
static int avx2(void) {
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
         __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

// avx512 does the same for avx512.h, whose conversion of halves is part of AVX-512.
static int avx512(void) {
  return avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

// amx reports whether the CPU has AMX, and asks Linux for leave to use its
// registers: 8 KiB that it must save for each thread.
static int amx(void) {
  unsigned a, b, c, d;
  enum { TILE = 1 << 24, BF16 = 1 << 22, REQUEST = 0x1023, TILE_DATA = 18 };
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & TILE) && (d & BF16) && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}
#else
static int amx(void) { return 0; }
#endif

int isa_best(void) {
#if defined(__x86_64__)
  if (avx512()) return amx() ? ISA_AMX : ISA_AVX512;
  if (avx2()) return ISA_AVX2;
#endif
  return ISA_128;
}

int isa_pairs(void) {
#if defined(__x86_64__)
  return isa_best() >= ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
#endif
  return 0;
}

#if defined(__x86_64__)
#define PICK(f, ...) (isa == ISA_AVX512 ? f##_avx512(__VA_ARGS__) : isa == ISA_AVX2 ? f##_avx2(__VA_ARGS__) : f##_base(__VA_ARGS__))
#define PICK_GEMM(f, ...) (isa == ISA_AMX ? f##_amx(__VA_ARGS__) : isa == ISA_PAIRS ? f##_pairs(__VA_ARGS__) : PICK(f, __VA_ARGS__))
#else
#define PICK(f, ...) f##_base(__VA_ARGS__)
#define PICK_GEMM(f, ...) f##_base(__VA_ARGS__)
#endif

static long wide(int isa) { return isa >= ISA_AVX512 ? 32 : isa == ISA_AVX2 ? 16 : BASE_WIDE; }
long gemm_lanes(int isa) { return wide(isa); }
long gemm_panels(int isa, long n) { return (n + wide(isa) - 1) / wide(isa); }
long gemm_size(int isa, long n, long k) { return gemm_panels(isa, n) * wide(isa) * ((isa >= ISA_PAIRS ? k / 2 : k) + 16); }
void gemm_pack(int isa, const Product *g, long from, long to) { PICK_GEMM(gemm_pack, g, from, to); }
void gemm(int isa, const Product *g, long m0, long m1, long n0, long n1, float *scratch) {
  PICK_GEMM(gemm, g, m0, m1, n0, n1, scratch);
}
int gemm_reads(int isa, const Product *g) { return PICK_GEMM(gemm_reads, g); }
void gemm_few(int isa, const Product *g, int type, long row, long from, long to, float *scratch) {
  PICK(gemm_few, g, type, row, from, to, scratch);
}
long strip_lanes(int isa) { return isa == ISA_AVX512 ? 64 : isa == ISA_AVX2 ? 16 : 8; }
void repack(int isa, void *to, const void *x, int type, long row, long n, long k, long from, long last) {
  PICK(repack, to, x, type, row, n, k, from, last);
}
void gemm_strips(int isa, const Product *g, int type, long from, long to) {
#if defined(__x86_64__)
  if (isa == ISA_AMX) return gemm_strips_amx(g, from, to);
#endif
  PICK(gemm_strips, g, type, from, to);
}
void gemm_rows(const Product *g, long from, long to) {
#if defined(__x86_64__)
  gemm_rows_amx(g, from, to);
#endif
}

void embed(int isa, float *out, const void *table, int bf16, const int32_t *ids, long from, long to, long dim) {
  PICK(embed, out, table, bf16, ids, from, to, dim);
}
void embed_back(int isa, float *dtable, const float *dout, const int32_t *ids, long n, long dim, long c0, long c1) {
  PICK(embed_back, dtable, dout, ids, n, dim, c0, c1);
}
void convert(int isa, void *y, int ybf16, const void *x, int xbf16, long n) { PICK(convert, y, ybf16, x, xbf16, n); }
void dequantise(int isa, int type, float *y, const void *x, long blocks) { PICK(dequantise, type, y, x, blocks); }
void axpy(int isa, void *y, int ybf16, const void *x, int xbf16, float alpha, long n) {
  PICK(axpy, y, ybf16, x, xbf16, alpha, n);
}
void swiglu(int isa, float *out, const float *gate, const float *up, long n) { PICK(swiglu, out, gate, up, n); }
void swiglu_back(int isa, float *dgate, float *dup, const float *dout, const float *gate, const float *up, long n) {
  PICK(swiglu_back, dgate, dup, dout, gate, up, n);
}
void dropout(int isa, float *out, const float *x, long from, long to, float p, uint64_t key) {
  PICK(dropout, out, x, from, to, p, key);
}
double sum_squares(int isa, const float *x, long n) { return PICK(sum_squares, x, n); }
void adamw(int isa, float *w, const float *g, float *m, float *v, long n,
           float grad, float decay, float beta1, float beta2, float step, float root, float eps) {
  PICK(adamw, w, g, m, v, n, grad, decay, beta1, beta2, step, root, eps);
}
void rmsnorm(int isa, float *out, float *inv, float *x, const float *add, const float *w, long rows, long dim, float eps) {
  PICK(rmsnorm, out, inv, x, add, w, rows, dim, eps);
}
void rmsnorm_back(int isa, float *dx, const float *dout, const float *x, const float *w, const float *inv, long rows, long dim) {
  PICK(rmsnorm_back, dx, dout, x, w, inv, rows, dim);
}
void rmsnorm_back_w(int isa, float *dw, const float *dout, const float *x, const float *inv, long rows, long dim, long c0, long c1) {
  PICK(rmsnorm_back_w, dw, dout, x, inv, rows, dim, c0, c1);
}
void rotate(int isa, float *out, const float *x, const float *cos, const float *sin, const int32_t *pos, long rows, long heads, long dim, float sign) {
  PICK(rotate, out, x, cos, sin, pos, rows, heads, dim, sign);
}
void head_norm(int isa, float *out, float *inv, const float *x, const float *bias, const float *w, long rows, long heads, long dim, float eps) {
  PICK(head_norm, out, inv, x, bias, w, rows, heads, dim, eps);
}
void head_norm_back(int isa, float *d, const float *x, const float *bias, const float *w, const float *inv, long rows, long heads, long dim) {
  PICK(head_norm_back, d, x, bias, w, inv, rows, heads, dim);
}
void head_norm_back_w(int isa, float *dw, const float *d, const float *x, const float *bias, const float *inv, long rows, long heads, long dim, long c0, long c1) {
  PICK(head_norm_back_w, dw, d, x, bias, inv, rows, heads, dim, c0, c1);
}
void sum_rows(int isa, float *y, const float *x, long rows, long dim, long c0, long c1) { PICK(sum_rows, y, x, rows, dim, c0, c1); }
void cross_entropy(int isa, float *loss, float *logits, const int32_t *targets, long rows, long vocab, float scale) {
  PICK(cross_entropy, loss, logits, targets, rows, vocab, scale);
}
void argmax(int isa, int32_t *ids, float *logp, const float *logits, long rows, long vocab) {
  PICK(argmax, ids, logp, logits, rows, vocab);
}
void merge(int isa, void *out, int type, const float *w, const float *b, const float *a, long rows, long dim, long rank,
           float scale, int twice, Merged *sum) {
  PICK(merge, out, type, w, b, a, rows, dim, rank, scale, twice, sum);
}
long attention_size(int isa, long len, long dim) { return PICK(attention_size, len, dim); }
void attention(int isa, float *out, float *lse, const float *q, const float *k, const float *v, const Seq *s, long head, float *work) {
  PICK(attention, out, lse, q, k, v, s, head, work);
}
void attention_back(int isa, float *dq, float *dk, float *dv, const float *dout, const float *out, const float *lse,
                    const float *q, const float *k, const float *v, const Seq *s, long head, float *work) {
  PICK(attention_back, dq, dk, dv, dout, out, lse, q, k, v, s, head, work);
}
void sum_groups(int isa, float *out, const float *shares, long heads, long group, long dim) { PICK(sum_groups, out, shares, heads, group, dim); }
void attention_cached(int isa, float *out, const float *q, const float *keys, const float *values,
                      long from, long to, long heads, long kv, long dim, long group, float scale, float *work) {
  PICK(attention_cached, out, q, keys, values, from, to, heads, kv, dim, group, scale, work);
}
